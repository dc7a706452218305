/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `mtls setup` found out and did, collected in any order and shown by kind: to people, or as
 * JSON. What it says of this machine was looked up on it; what counts as checked was tried.
 */
#ifndef MTLS_CLI_RECIPE_H
#define MTLS_CLI_RECIPE_H

#include <stdbool.h>
#include <stddef.h>

#include "client/cli/json.h"
#include "common/cleanup.h"

enum recipe_kind {
    RECIPE_FOUND, /* what there is on this machine */
    RECIPE_FILE,  /* a file, with what was or would be done to it */
    RECIPE_USE,   /* what to type or to write */
    RECIPE_CHECK, /* what was tried, or why it was not */
    RECIPE_NOTE,  /* what else must be known */
};

enum recipe_result {
    RECIPE_PLAIN, /* of what is no check */
    RECIPE_OK,
    RECIPE_FAILED,
    RECIPE_UNTRIED,
};

struct recipe_item {
    enum recipe_kind kind;
    enum recipe_result result;
    char *text;    /* owned */
    char *content; /* owned; of a file, when it is worth showing; else NULL */
};

/* Fails stickily when memory is short. */
struct recipe {
    struct recipe_item *items;
    size_t count;
    bool failed;
};

#define RECIPE_INIT ((struct recipe){0})

void recipe_deinit(struct recipe *recipe);

void recipe_add(struct recipe *recipe, enum recipe_kind kind, const char *format, ...)
    _printf_(3, 4);
void recipe_add_check(struct recipe *recipe, enum recipe_result result, const char *format, ...)
    _printf_(3, 4);

/**
 * recipe_add_file() - one line about a file
 * @content:    copied; shown below it; NULL: not
 */
void recipe_add_file(struct recipe *recipe, const char *content, const char *format, ...)
    _printf_(3, 4);

/** recipe_has_failed_check() - something was tried and did not work. */
bool recipe_has_failed_check(const struct recipe *recipe);

/** recipe_put_text() - append it for people; escaped. */
void recipe_put_text(const struct recipe *recipe, struct wire_writer *out);

/** recipe_put_json() - append its members to the object that is open. */
void recipe_put_json(const struct recipe *recipe, struct json *json);

#define _cleanup_recipe_ _cleanup_(recipe_deinit)

#endif
