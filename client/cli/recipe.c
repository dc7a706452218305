/* SPDX-License-Identifier: Apache-2.0 */
/* What was found out and done; see recipe.h. */
#include "client/cli/recipe.h"

#include <stdarg.h>
#include <string.h>

#include "client/cli/cli.h"

static const struct {
    const char *title;
    const char *member; /* of the JSON object */
} recipe_kinds[] = {
    [RECIPE_FOUND] = {"Found:", "found"},
    [RECIPE_FILE] = {"Files:", "files"},
    [RECIPE_USE] = {"Use:", "use"},
    [RECIPE_CHECK] = {"Checked:", "checks"},
    [RECIPE_NOTE] = {"Good to know:", "notes"},
};

static const char *const recipe_results[] = {[RECIPE_PLAIN] = "",
                                             [RECIPE_OK] = "ok",
                                             [RECIPE_FAILED] = "failed",
                                             [RECIPE_UNTRIED] = "not tried"};

void recipe_deinit(struct recipe *recipe)
{
    for (size_t i = 0; i < recipe->count; i++) {
        free(recipe->items[i].text);
        free(recipe->items[i].content);
    }
    free(recipe->items);
    *recipe = RECIPE_INIT;
}

/* @content: taken. */
static void recipe_append(struct recipe *recipe, struct recipe_item item, const char *format,
                          va_list args) _printf_(3, 0);
static void recipe_append(struct recipe *recipe, struct recipe_item item, const char *format,
                          va_list args)
{
    struct recipe_item *items =
        reallocarray(recipe->items, recipe->count + 1, sizeof(*recipe->items));

    if (items)
        recipe->items = items;
    if (!items || vasprintf(&item.text, format, args) < 0) {
        free(item.content);
        recipe->failed = true;
        return;
    }
    recipe->items[recipe->count++] = item;
}

void recipe_add(struct recipe *recipe, enum recipe_kind kind, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    recipe_append(recipe, (struct recipe_item){.kind = kind}, format, args);
    va_end(args);
}

void recipe_add_check(struct recipe *recipe, enum recipe_result result, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    recipe_append(recipe, (struct recipe_item){.kind = RECIPE_CHECK, .result = result}, format,
                  args);
    va_end(args);
}

void recipe_add_file(struct recipe *recipe, const char *content, const char *format, ...)
{
    struct recipe_item item = {.kind = RECIPE_FILE};
    va_list args;

    item.content = content ? strdup(content) : NULL;
    recipe->failed |= content && !item.content;
    va_start(args, format);
    recipe_append(recipe, item, format, args);
    va_end(args);
}

bool recipe_has_failed_check(const struct recipe *recipe)
{
    for (size_t i = 0; i < recipe->count; i++)
        if (recipe->items[i].result == RECIPE_FAILED)
            return true;
    return false;
}

static void recipe_put_content(const char *content, struct wire_writer *out)
{
    while (*content) {
        size_t len = strcspn(content, "\n");
        cli_put_line(out, "      %.*s", (int)len, content);
        content += len + (content[len] == '\n');
    }
}

static void recipe_put_item(const struct recipe_item *item, struct wire_writer *out)
{
    if (item->kind == RECIPE_CHECK)
        cli_put_line(out, "  %-9s  %s", recipe_results[item->result], item->text);
    else
        cli_put_line(out, "  %s", item->text);
    if (item->content)
        recipe_put_content(item->content, out);
}

void recipe_put_text(const struct recipe *recipe, struct wire_writer *out)
{
    for (size_t kind = 0; kind < ARRAY_SIZE(recipe_kinds); kind++) {
        bool has_title = false;
        for (size_t i = 0; i < recipe->count; i++) {
            if (recipe->items[i].kind != kind)
                continue;
            if (!has_title)
                cli_put_line(out, "%s", recipe_kinds[kind].title);
            has_title = true;
            recipe_put_item(&recipe->items[i], out);
        }
    }
}

static void recipe_put_json_item(const struct recipe_item *item, struct json *json)
{
    if (item->kind != RECIPE_CHECK && item->kind != RECIPE_FILE) {
        json_put_text(json, NULL, item->text);
        return;
    }
    json_begin_object(json, NULL);
    json_put_text(json, "text", item->text);
    if (item->kind == RECIPE_CHECK)
        json_put_text(json, "result", recipe_results[item->result]);
    else
        json_put_text(json, "content", item->content);
    json_end_object(json);
}

void recipe_put_json(const struct recipe *recipe, struct json *json)
{
    for (size_t kind = 0; kind < ARRAY_SIZE(recipe_kinds); kind++) {
        json_begin_array(json, recipe_kinds[kind].member);
        for (size_t i = 0; i < recipe->count; i++)
            if (recipe->items[i].kind == kind)
                recipe_put_json_item(&recipe->items[i], json);
        json_end_array(json);
    }
}
