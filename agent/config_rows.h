/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which sections and keys there are, as one table, and what each key sets in struct config. What is
 * not in the table is an error of the file.
 */
#ifndef MTLS_AGENT_CONFIG_ROWS_H
#define MTLS_AGENT_CONFIG_ROWS_H

#include "agent/config_value.h"

enum config_section {
    SECTION_AGENT,
    SECTION_MODULE,
    SECTION_TOKEN,
    SECTION_KEY,
};

/* Returns 0, CONFIG_E_INVALID with the problem filled, or -errno. A later file's value replaces an
 * earlier one's, as with systemd's drop-ins. */
typedef int (*config_set_fn)(void *target, const char *value,
                             char problem[static CONFIG_PROBLEM_MAX]);

struct config_row {
    enum config_section section;
    const char *key;
    config_set_fn set;
    bool may_repeat; /* several lines add up */
};

/**
 * config_rows_find_section() - split what stands in brackets, such as "key work"
 * @ret_name:   filled: the name in @text; empty for a section without one
 *
 * Return: 0, or CONFIG_E_INVALID.
 */
int config_rows_find_section(const char *text, enum config_section *ret_section,
                             const char **ret_name) _must_check_;

/** config_rows_word() - "agent", "module", ... */
const char *config_rows_word(enum config_section section);

/** config_rows_get_target() - what the section's keys set, made if need be; NULL: no memory. */
void *config_rows_get_target(struct config *config, enum config_section section, const char *name);

/** config_rows_find() - NULL: the section has no such key. */
const struct config_row *config_rows_find(enum config_section section, const char *key);

#endif
