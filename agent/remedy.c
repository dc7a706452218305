/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for the configuration; see remedy.h. */
#include "agent/remedy.h"

#include <string.h>

#include "agent/selector.h"
#include "common/escape.h"

#define REMEDY_URI_MAX 400u /* a longer one has a label that nobody would copy */

/* Whether a section can be called so: a label is any text. */
static bool remedy_is_section_name(const char *name)
{
    char escaped[2 * PROTOCOL_NAME_MAX];

    return *name && *name != ' ' && !strchr(name, ']') && !strstr(name, " ;") &&
           strcmp(escape_cstring(name, escaped, sizeof(escaped)), name) == 0;
}

/* One line below the section that is there. */
static void remedy_put_line(struct wire_writer *out, const struct config_key *section)
{
    escape_put_raw(out, "write `sign = digest` below [key ");
    escape_put_raw(out, section->name);
    escape_put_raw(out, "] (");
    escape_put_raw(out, section->origin);
    escape_put_raw(out, ")");
}

/* A section for a key that has none. */
static void remedy_put_section(struct wire_writer *out, const struct keyring *keyring,
                               const struct keyring_key *key)
{
    _cleanup_free_ char *uri = selector_format_uri(key->key, key->token);
    const char *file = keyring->config->file;
    bool has_name = key->key->info.label.len > 0 && remedy_is_section_name(key->name);

    escape_put_raw(out, "add to ");
    escape_put_raw(out, file ? file : "agent.conf");
    escape_put_raw(out, " the lines `[key ");
    escape_put_raw(out, has_name ? key->name : "my-key");
    escape_put_raw(out, "]`, `uri = ");
    if (uri && strlen(uri) <= REMEDY_URI_MAX) {
        escape_put_raw(out, uri);
        escape_put_raw(out, "`");
    } else {
        escape_put_raw(out, "URI` (see `mtls list --json`)");
    }
    escape_put_raw(out, ", `sign = digest`");
}

void remedy_for_digest(const struct keyring *keyring, const struct keyring_key *key,
                       const char *reason, char text[static PROTOCOL_TEXT_MAX])
{
    _cleanup_(cleanup_wire_writer) struct wire_writer out = {0};

    wire_writer_init(&out, PROTOCOL_TEXT_MAX - 1);
    escape_put_raw(&out, reason);
    escape_put_raw(&out, "; to allow it for this key, ");
    if (key->config)
        remedy_put_line(&out, key->config);
    else
        remedy_put_section(&out, keyring, key);
    escape_put_raw(&out,
                   " and reload the agent (systemctl --user reload mtls-agent; the system service: "
                   "without --user), or for a browser run `mtls setup browser`; programs can then "
                   "have anything signed with it, not only TLS logins");
    if (out.failed)
        (void)snprintf(text, PROTOCOL_TEXT_MAX, "%s", reason);
    else
        (void)snprintf(text, PROTOCOL_TEXT_MAX, "%.*s", (int)out.len, (const char *)out.data);
}
