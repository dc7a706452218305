/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration values; see config_value.h. */
#include "agent/config_value.h"

#include <ctype.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <pwd.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/peer.h"
#include "agent/selector.h"
#include "common/escape.h"

/* Fills @problem; the value itself is shown escaped, and never for anything secret. */
_printf_(2, 3) static int config_problem(char problem[static CONFIG_PROBLEM_MAX],
                                         const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(problem, CONFIG_PROBLEM_MAX, format, args);
    va_end(args);
    return CONFIG_E_INVALID;
}

FILE *config_open(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat stat_buf;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &stat_buf) < 0 || !S_ISREG(stat_buf.st_mode)) {
        errno = EINVAL;
        return NULL;
    }
    FILE *stream = fdopen(fd, "r");
    if (stream)
        (void)TAKE_FD(fd);
    return stream;
}

static int config_copy(const char *text, char **ret_copy)
{
    char *copy = strdup(text);

    if (!copy)
        return -ENOMEM;
    *ret_copy = copy;
    return 0;
}

int config_value_duration(const char *text, uint32_t *ret_ms,
                          char problem[static CONFIG_PROBLEM_MAX])
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}};
    const uint64_t max_ms = 24u * 3600000u;
    char shown[128];
    char *end = NULL;

    errno = 0;
    unsigned long long number = isdigit((unsigned char)text[0]) ? strtoull(text, &end, 10) : 0;
    while (end && *end == ' ')
        end++;
    for (size_t i = 0; end && errno == 0 && i < ARRAY_SIZE(units); i++) {
        if (strcmp(end, units[i].unit) != 0)
            continue;
        if (number < 1 || number > max_ms / units[i].ms)
            break;
        *ret_ms = (uint32_t)(number * units[i].ms);
        return 0;
    }
    return config_problem(
        problem, "\"%s\" is not a time from 1ms to 24h: write a number and ms, s, min or h",
        escape_cstring(text, shown, sizeof(shown)));
}

int config_value_count(const char *text, uint32_t min, uint32_t max, uint32_t *ret_count,
                       char problem[static CONFIG_PROBLEM_MAX])
{
    char shown[128];
    char *end = NULL;

    errno = 0;
    unsigned long number = isdigit((unsigned char)text[0]) ? strtoul(text, &end, 10) : 0;
    if (!end || *end || errno || number < min || number > max)
        return config_problem(problem, "\"%s\" is not a number from %u to %u",
                              escape_cstring(text, shown, sizeof(shown)), min, max);
    *ret_count = (uint32_t)number;
    return 0;
}

/* One uid or user name. */
static int config_value_user(const char *text, uid_t *ret_uid,
                             char problem[static CONFIG_PROBLEM_MAX])
{
    uint32_t number = 0;
    char shown[128];

    if (isdigit((unsigned char)text[0])) {
        int r = config_value_count(text, 0, UINT32_MAX - 1, &number, problem);
        if (r)
            return r;
        *ret_uid = number;
        return 0;
    }
    errno = 0;
    const struct passwd *user = getpwnam(text);
    if (!user)
        return config_problem(problem, "there is no user \"%s\"",
                              escape_cstring(text, shown, sizeof(shown)));
    *ret_uid = user->pw_uid;
    return 0;
}

int config_value_users(const char *text, uid_t users[static CONFIG_USERS_MAX], size_t *count,
                       char problem[static CONFIG_PROBLEM_MAX])
{
    _cleanup_free_ char *copy = strdup(text);
    char *rest = NULL;

    if (!copy)
        return -ENOMEM;
    for (char *word = strtok_r(copy, ", \t", &rest); word; word = strtok_r(NULL, ", \t", &rest)) {
        if (*count == CONFIG_USERS_MAX)
            return config_problem(problem, "more than %u users", CONFIG_USERS_MAX);
        int r = config_value_user(word, &users[*count], problem);
        if (r)
            return r;
        if (users[*count] == PEER_UID_OVERFLOW)
            return config_problem(problem,
                                  "uid %u stands for every user that the kernel cannot name here; "
                                  "it is never served",
                                  PEER_UID_OVERFLOW);
        (*count)++;
    }
    return 0;
}

/* p11-kit takes the last of several; the path part must not have any twice. */
static bool config_uri_repeats(const char *text)
{
    const char *path = strchr(text, ':');

    for (const char *at = path ? path + 1 : ""; *at && *at != '?'; at += strcspn(at, ";?")) {
        at += *at == ';' ? 1 : 0;
        size_t len = strcspn(at, "=;?");
        const char *later = at + strcspn(at, ";?");
        while (*later == ';') {
            later++;
            if (strncmp(later, at, len) == 0 && later[len] == '=')
                return true;
            later += strcspn(later, ";?");
        }
    }
    return false;
}

int config_value_uri(const char *text, struct selector **ret_selector,
                     char problem[static CONFIG_PROBLEM_MAX])
{
    const char *reason = NULL;
    char shown[256];

    if (strlen(text) > PROTOCOL_SELECTOR_MAX)
        return config_problem(problem, "the URI is longer than %u bytes", PROTOCOL_SELECTOR_MAX);
    /* A PIN in a URI must not reach an error message: it is looked for before anything is shown. */
    if (strstr(text, "pin-value") || strstr(text, "pin-source"))
        return config_problem(problem, "a PIN does not belong into a URI: write it as the `pin =` "
                                       "of the [token] section");
    escape_cstring(text, shown, sizeof(shown));
    if (!selector_is_uri(wire_span_from_text(text)))
        return config_problem(problem, "\"%s\" does not begin with pkcs11:", shown);
    if (config_uri_repeats(text))
        return config_problem(problem, "\"%s\" has an attribute twice (RFC 7512 section 2.3)",
                              shown);
    int r = selector_new(wire_span_from_text(text), ret_selector, &reason);
    return r > 0 ? config_problem(problem, "\"%s\": %s", shown, reason) : r;
}

/*
 * Root, or we. In a user namespace that leaves root out (PrivateUsers= of a user unit) root's files
 * show the overflow uid, and so does the root directory, which is how such a namespace is known.
 * Every other user's files show it there, too: that a file is not theirs cannot be told inside, and
 * is left to who writes the path. Nowhere else does owning `/` help: an ordinary uid that owns it,
 * as in an unpacked container image, is not root.
 */
static bool config_may_own_module(uid_t uid)
{
    struct stat root;

    if (uid == 0 || uid == geteuid())
        return true;
    return uid == PEER_UID_OVERFLOW && stat("/", &root) == 0 && root.st_uid == uid;
}

/* Nobody but root and the agent's own user may be able to change what is loaded. */
static int config_check_module_file(const char *path, const struct stat *stat,
                                    char problem[static CONFIG_PROBLEM_MAX])
{
    char shown[256];

    escape_cstring(path, shown, sizeof(shown));
    if (!S_ISREG(stat->st_mode))
        return config_problem(problem, "%s is not a regular file", shown);
    if (stat->st_mode & (S_IWGRP | S_IWOTH))
        return config_problem(problem, "%s can be changed by its group or by everyone: chmod go-w",
                              shown);
    if (!config_may_own_module(stat->st_uid))
        return config_problem(problem, "%s belongs to another user: chown it to root", shown);
    return 0;
}

int config_value_module_path(const char *text, char **ret_path,
                             char problem[static CONFIG_PROBLEM_MAX])
{
    struct stat stat_buf;
    char shown[256];

    if (text[0] != '/')
        return config_problem(problem, "\"%s\" is not an absolute path",
                              escape_cstring(text, shown, sizeof(shown)));
    if (stat(text, &stat_buf) < 0)
        return config_problem(problem, "%s: %s", escape_cstring(text, shown, sizeof(shown)),
                              strerror(errno));
    int r = config_check_module_file(text, &stat_buf, problem);
    if (r)
        return r;
    return config_copy(text, ret_path);
}

int config_value_pin(const char *text, enum config_pin *ret_pin, char **ret_argument,
                     char problem[static CONFIG_PROBLEM_MAX])
{
    static const struct {
        const char *prefix;
        enum config_pin pin;
    } sources[] = {{"file:", CONFIG_PIN_FILE},
                   {"command:", CONFIG_PIN_COMMAND},
                   {"credential:", CONFIG_PIN_CREDENTIAL}};

    if (strcmp(text, "ask") == 0) {
        *ret_pin = CONFIG_PIN_ASK;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        size_t len = strlen(sources[i].prefix);
        if (strncmp(text, sources[i].prefix, len) != 0)
            continue;
        const char *argument = text + len;
        if (!*argument)
            return config_problem(problem, "nothing stands after %s", sources[i].prefix);
        if (sources[i].pin == CONFIG_PIN_FILE && argument[0] != '/')
            return config_problem(problem, "the path after file: is not absolute");
        if (sources[i].pin == CONFIG_PIN_CREDENTIAL && strchr(argument, '/'))
            return config_problem(problem, "a credential's name has no slash");
        *ret_pin = sources[i].pin;
        return config_copy(argument, ret_argument);
    }
    /* The value is not repeated: it may well be the PIN itself. */
    return config_problem(problem, "write ask, file:PATH, command:COMMAND or credential:NAME; the "
                                   "PIN itself never stands here");
}

DEFINE_CLEANUP(X509 *, x509, X509_free)

static int config_hash_key(X509 *x509, uint8_t ret_hash[static PROTOCOL_KEY_HASH_LEN])
{
    uint8_t *spki = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &spki);

    if (len <= 0)
        return -ENOMEM;
    const uint8_t *hash = SHA256(spki, (size_t)len, ret_hash);
    OPENSSL_free(spki);
    return hash ? 0 : -ENOMEM;
}

static int config_cert_from_x509(X509 *x509, struct config_cert *ret_cert)
{
    uint8_t *openssl_der = NULL;
    int len = i2d_X509(x509, &openssl_der);

    if (len <= 0)
        return -ENOMEM;
    if ((size_t)len > PROTOCOL_DER_MAX) {
        OPENSSL_free(openssl_der);
        return CONFIG_E_INVALID;
    }
    uint8_t *der = malloc((size_t)len);
    if (der)
        memcpy(der, openssl_der, (size_t)len);
    OPENSSL_free(openssl_der);
    if (!der)
        return -ENOMEM;
    *ret_cert = (struct config_cert){.der = der, .len = (size_t)len};
    return config_hash_key(x509, ret_cert->key_hash);
}

/* Whether PEM reading stopped because there was no further block. */
static bool config_pem_is_at_end(void)
{
    unsigned long error = ERR_peek_last_error();
    bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;

    ERR_clear_error();
    return at_end;
}

int config_value_certs(const char *path, struct config_cert *certs, size_t limit, size_t *ret_count,
                       char problem[static CONFIG_PROBLEM_MAX])
{
    size_t count = 0;
    char shown[256];

    escape_cstring(path, shown, sizeof(shown));
    if (path[0] != '/')
        return config_problem(problem, "\"%s\" is not an absolute path", shown);
    _cleanup_fclose_ FILE *file = config_open(path);
    if (!file)
        return config_problem(problem, "%s: %s", shown,
                              errno == EINVAL ? "not a regular file" : strerror(errno));
    for (;;) {
        _cleanup_(cleanup_x509) X509 *x509 = PEM_read_X509(file, NULL, NULL, NULL);
        if (!x509)
            break;
        if (count == limit)
            return config_problem(problem, "%s has more than %zu certificates", shown, limit);
        int r = config_cert_from_x509(x509, &certs[count]);
        if (r > 0)
            return config_problem(problem, "%s has a certificate of more than %u bytes", shown,
                                  PROTOCOL_DER_MAX);
        if (r)
            return r;
        *ret_count = ++count;
    }
    if (!config_pem_is_at_end())
        return config_problem(problem, "%s has a certificate that cannot be read", shown);
    if (count == 0)
        return config_problem(problem, "%s has no certificate in PEM", shown);
    return 0;
}
