/* SPDX-License-Identifier: Apache-2.0 */
/* How far two words are apart, to guess what was meant by a mistyped one. */
#ifndef MTLS_CLI_NEAREST_H
#define MTLS_CLI_NEAREST_H

#include <stddef.h>

#define NEAREST_WORD_MAX 32 /* bytes; longer words are never near */

/**
 * nearest_distance() - edits that turn @a into @b
 *
 * An edit inserts, drops or replaces a byte, or swaps two neighbours.
 * Return: the number of edits; NEAREST_WORD_MAX when a word is too long.
 */
size_t nearest_distance(const char *a, const char *b);

/**
 * nearest_find() - the word that was probably meant
 * @word:       as typed
 * @words:      @count candidates
 *
 * Return: one of @words, or NULL when none is near: within two edits, and fewer than the word has
 * bytes; a candidate that begins with the whole of @word is near, too.
 */
const char *nearest_find(const char *word, const char *const *words, size_t count);

#endif
