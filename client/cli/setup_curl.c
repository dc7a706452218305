/* SPDX-License-Identifier: Apache-2.0 */
/*
 * curl: a file for its option -K, so that ~/.curlrc stays the user's. It names the files of `mtls
 * env`, which every curl on OpenSSL 3 takes; a key URI on its own only the newest do.
 */
#include "client/cli/setup.h"

#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "client/cli/program.h"

#define CURL_CONF "mtls-agent/curl.conf"
#define CURL_VERSION_MAX 256
#define CURL_CERTIFICATE_PROBLEM 58 /* curl(1), EXIT CODES */
#define CURL_CA_PROBLEM 77

/* In double quotes a backslash stands before itself and a quote (curl(1), --config). */
static char *curl_format_conf(const char *cert, const char *key)
{
    char *text = NULL;

    return asprintf(&text, "cert = \"%s\"\nkey = \"%s\"\n", cert, key) < 0 ? NULL : text;
}

static int curl_put_conf(struct setup *setup)
{
    _cleanup_free_ char *cert = NULL;
    _cleanup_free_ char *key = NULL;

    if (asprintf(&cert, "%s/cert.pem", setup->dir) < 0) {
        cert = NULL;
        return setup_fail_memory();
    }
    if (asprintf(&key, "%s/key.pem", setup->dir) < 0) {
        key = NULL;
        return setup_fail_memory();
    }
    _cleanup_free_ char *body = curl_format_conf(cert, key);
    return body ? setup_put_file(setup, CURL_CONF, body) : setup_fail_memory();
}

static void curl_find(struct setup *setup)
{
    _cleanup_free_ char *program = NULL;
    _cleanup_wire_writer_ struct wire_writer output = {0};
    char version[CURL_VERSION_MAX];
    int code = 0;

    wire_writer_init(&output, PROGRAM_OUTPUT_MAX);
    if (program_find("curl", &program) || !program)
        return;
    const char *const argv[] = {program, "--version", NULL};
    if (program_run(argv, NULL, &output, &code) || code != 0)
        return;
    recipe_add(&setup->recipe, RECIPE_FOUND, "%s: %s", program,
               program_first_line(&output, version, sizeof(version)));
    if (!strstr(version, "OpenSSL/3"))
        recipe_add(&setup->recipe, RECIPE_NOTE,
                   "This curl is not built with OpenSSL 3, and cannot use the provider");
}

static int curl_prepare(struct setup *setup)
{
    _cleanup_free_ char *dir = setup_word(setup->dir);
    _cleanup_free_ char *path = setup_path(setup, CURL_CONF);
    _cleanup_free_ char *conf = path ? setup_word(path) : NULL;

    if (!dir || !conf)
        return setup_fail_memory();
    curl_find(setup);
    int r = setup_put_openssl_files(setup);
    if (r == CLI_OK)
        r = curl_put_conf(setup);
    if (r == CLI_OK)
        recipe_add(&setup->recipe, RECIPE_USE,
                   OPENSSL_CONF_ENV "=%s/openssl.cnf curl -K %s https://SERVER/", dir, conf);
    return r;
}

/*
 * A server on this machine that hangs up on everyone: curl has loaded certificate and key by the
 * time it sends its first bytes. In a process of its own, as curl's output is waited for here.
 */
static pid_t curl_start_server(int *ret_port)
{
    _cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    if (listener < 0 || bind(listener, (struct sockaddr *)&address, len) < 0 ||
        listen(listener, 1) < 0 || getsockname(listener, (struct sockaddr *)&address, &len) < 0)
        return -1;
    *ret_port = ntohs(address.sin_port);
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            (void)close_fd(accept(listener, NULL, NULL));
    }
    return pid;
}

static void curl_end_server(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static void curl_judge(struct setup *setup, int r, int code, const struct wire_writer *output)
{
    char line[CURL_VERSION_MAX];

    if (r || code == 0 || code == CURL_CERTIFICATE_PROBLEM)
        recipe_add_check(&setup->recipe, RECIPE_FAILED, "curl -K: %s",
                         r ? "it did not run" : program_first_line(output, line, sizeof(line)));
    else if (code == CURL_CA_PROBLEM)
        recipe_add_check(&setup->recipe, RECIPE_UNTRIED, "curl has no CA certificates here: %s",
                         program_first_line(output, line, sizeof(line)));
    else
        recipe_add_check(&setup->recipe, RECIPE_OK,
                         "curl takes the certificate, and the key by its reference");
}

static int curl_check_conf(struct setup *setup, const char *program, const char *conf)
{
    _cleanup_wire_writer_ struct wire_writer output = {0};
    _cleanup_free_ char *variable = NULL;
    char url[64];
    int port = 0;
    int code = 0;

    if (asprintf(&variable, OPENSSL_CONF_ENV "=%s", setup->files.variables[0].value) < 0) {
        variable = NULL;
        return setup_fail_memory();
    }
    pid_t server = curl_start_server(&port);
    if (server < 0) {
        recipe_add_check(&setup->recipe, RECIPE_UNTRIED, "no port of this machine to try curl on");
        return CLI_OK;
    }
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%d/", port);
    const char *const argv[] = {program, "-q", "-sS", "--noproxy", "*", "--max-time",
                                "10",    "-K", conf,  url,         NULL};
    const char *const variables[] = {variable, NULL};
    wire_writer_init(&output, PROGRAM_OUTPUT_MAX);
    int r = program_run(argv, variables, &output, &code);
    curl_end_server(server);
    curl_judge(setup, r, code, &output);
    return CLI_OK;
}

static int curl_check(struct setup *setup)
{
    _cleanup_free_ char *program = setup_find_program(setup, "curl", "curl");
    _cleanup_free_ char *conf = NULL;
    _cleanup_free_ char *text =
        curl_format_conf(setup->files.variables[1].value, setup->files.variables[2].value);

    if (!program)
        return CLI_OK;
    int r = text ? setup_scratch_file(setup, "curl.conf", text, &conf) : setup_fail_memory();
    return r ? r : curl_check_conf(setup, program, conf);
}

const struct setup_program setup_curl = {
    .name = "curl",
    .needs_key = true,
    .has_openssl_files = true,
    .files = {CURL_CONF},
    .prepare = curl_prepare,
    .check = curl_check,
};
