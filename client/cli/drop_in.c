/* SPDX-License-Identifier: Apache-2.0 */
/* [key NAME] with sign = digest; see drop_in.h. */
#include "client/cli/drop_in.h"

#include <string.h>

#include "client/cli/own_file.h"
#include "common/escape.h"

#define DROP_IN_FOR "# for:"

bool drop_in_is_section_name(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len + sizeof("key ") - 1 > DROP_IN_SECTION_MAX)
        return false;
    if (name[0] == ' ' || name[len - 1] == ' ')
        return false;
    /* A bracket ends the name, a semicolon begins a comment. */
    for (const char *at = name; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f || strchr("[];", *at))
            return false;
    return true;
}

/* What stands after "# for:", or NULL. */
static const char *drop_in_find_programs(const char *text)
{
    const char *line = text;

    while (line && strncmp(line, DROP_IN_FOR, sizeof(DROP_IN_FOR) - 1) != 0) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return line ? line + sizeof(DROP_IN_FOR) - 1 : NULL;
}

/* The next word of a line: its length, 0 at the end of the line. */
static size_t drop_in_next(const char **line)
{
    *line += strspn(*line, " ");
    return strcspn(*line, " \n");
}

bool drop_in_has_program(const char *text, const char *program)
{
    const char *at = drop_in_find_programs(text);
    size_t len = 0;

    for (; at && (len = drop_in_next(&at)) > 0; at += len)
        if (len == strlen(program) && strncmp(at, program, len) == 0)
            return true;
    return false;
}

const char *drop_in_programs(const char *text, const char *added, const char *removed,
                             char programs[static DROP_IN_PROGRAMS_MAX])
{
    const char *at = drop_in_find_programs(text);
    size_t used = 0;
    size_t len = 0;

    programs[0] = '\0';
    for (; at && (len = drop_in_next(&at)) > 0; at += len) {
        bool is_removed = removed && len == strlen(removed) && strncmp(at, removed, len) == 0;
        if (!is_removed && used + len + 2 < DROP_IN_PROGRAMS_MAX)
            used += (size_t)snprintf(programs + used, DROP_IN_PROGRAMS_MAX - used, "%s%.*s",
                                     used > 0 ? " " : "", (int)len, at);
    }
    if (added && !drop_in_has_program(text, added) &&
        used + strlen(added) + 2 < DROP_IN_PROGRAMS_MAX)
        (void)snprintf(programs + used, DROP_IN_PROGRAMS_MAX - used, "%s%s", used > 0 ? " " : "",
                       added);
    return programs;
}

static void drop_in_put_programs(const char *programs, struct wire_writer *out)
{
    escape_put_raw(out, DROP_IN_FOR " ");
    escape_put_raw(out, programs);
    wire_put_u8(out, '\n');
}

void drop_in_format(const char *section, const char *uri, const char *programs,
                    struct wire_writer *out)
{
    escape_put_raw(out,
                   OWN_FILE_MARK ": this key may sign digests, which the agent cannot check\n");
    drop_in_put_programs(programs, out);
    escape_put_raw(out, "[key ");
    escape_put_raw(out, section);
    escape_put_raw(out, "]\n");
    if (uri) {
        escape_put_raw(out, "uri = ");
        escape_put_raw(out, uri);
        wire_put_u8(out, '\n');
    }
    escape_put_raw(out, "sign = digest\n");
}

void drop_in_change_programs(const char *text, const char *programs, struct wire_writer *out)
{
    const char *at = drop_in_find_programs(text);

    if (!at) {
        escape_put_raw(out, text);
        return;
    }
    wire_put_raw(out, text, (size_t)(at - text) - (sizeof(DROP_IN_FOR) - 1));
    drop_in_put_programs(programs, out);
    at += strcspn(at, "\n");
    escape_put_raw(out, *at == '\n' ? at + 1 : at);
}
