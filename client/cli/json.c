/* SPDX-License-Identifier: Apache-2.0 */
/* JSON output; see json.h. */
#include "client/cli/json.h"

#include <inttypes.h>

#include "common/escape.h"

static void json_put_line(struct json *json)
{
    if (json->is_compact)
        return;
    wire_put_u8(json->out, '\n');
    for (unsigned int i = 0; i < json->depth; i++)
        escape_put_raw(json->out, "  ");
}

/* What stands before every value: comma, line, name. */
static void json_begin_value(struct json *json, const char *name)
{
    if (json->has_member)
        wire_put_u8(json->out, ',');
    if (json->depth > 0)
        json_put_line(json);
    if (name) {
        escape_json(json->out, wire_span_from_text(name));
        escape_put_raw(json->out, ": ");
    }
    json->has_member = true;
}

static void json_open(struct json *json, const char *name, uint8_t bracket)
{
    json_begin_value(json, name);
    wire_put_u8(json->out, bracket);
    json->depth++;
    json->has_member = false;
}

static void json_close(struct json *json, uint8_t bracket)
{
    json->depth--;
    if (json->has_member)
        json_put_line(json);
    wire_put_u8(json->out, bracket);
    json->has_member = true;
}

void json_begin_object(struct json *json, const char *name)
{
    json_open(json, name, '{');
}

void json_end_object(struct json *json)
{
    json_close(json, '}');
}

void json_begin_array(struct json *json, const char *name)
{
    json_open(json, name, '[');
}

void json_end_array(struct json *json)
{
    json_close(json, ']');
}

void json_put_text(struct json *json, const char *name, const char *text)
{
    json_begin_value(json, name);
    if (text)
        escape_json(json->out, wire_span_from_text(text));
    else
        escape_put_raw(json->out, "null");
}

void json_put_uint(struct json *json, const char *name, uint64_t value)
{
    char digits[24];

    json_begin_value(json, name);
    (void)snprintf(digits, sizeof(digits), "%" PRIu64, value);
    escape_put_raw(json->out, digits);
}

void json_put_bool(struct json *json, const char *name, bool value)
{
    json_begin_value(json, name);
    escape_put_raw(json->out, value ? "true" : "false");
}

void json_put_ms(struct json *json, const char *name, uint64_t us)
{
    char digits[32];

    json_begin_value(json, name);
    (void)snprintf(digits, sizeof(digits), "%" PRIu64 ".%03u", us / 1000,
                   (unsigned int)(us % 1000));
    escape_put_raw(json->out, digits);
}

void json_finish(struct json *json)
{
    wire_put_u8(json->out, '\n');
}
