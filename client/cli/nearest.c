/* SPDX-License-Identifier: Apache-2.0 */
/* Guessing mistyped words; see nearest.h. */
#include "client/cli/nearest.h"

#include <stdbool.h>
#include <string.h>

#define NEAREST_EDITS_MAX 2u

static size_t nearest_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment over three rows of the usual table. */
size_t nearest_distance(const char *a, const char *b)
{
    size_t rows[3][NEAREST_WORD_MAX + 1] = {0};
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);

    if (a_len > NEAREST_WORD_MAX || b_len > NEAREST_WORD_MAX)
        return NEAREST_WORD_MAX;
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t replaced = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = nearest_min(replaced, nearest_min(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = nearest_min(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

const char *nearest_find(const char *word, const char *const *words, size_t count)
{
    const char *best = NULL;
    size_t best_distance = nearest_min(NEAREST_EDITS_MAX + 1, strlen(word));

    for (size_t i = 0; i < count; i++) {
        bool is_start = strlen(word) >= 2 && strncmp(word, words[i], strlen(word)) == 0;
        size_t distance = is_start ? 1 : nearest_distance(word, words[i]);
        if (distance < best_distance) {
            best = words[i];
            best_distance = distance;
        }
    }
    return best;
}
