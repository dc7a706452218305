/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's command line and start-up order. */
#include <getopt.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <string.h>

#include "agent/agent.h"
#include "build-config.h"
#include "common/harden.h"
#include "common/log.h"
#include "common/paths.h"
#include "sandbox/sandbox.h"

enum {
    EXIT_USAGE = 2,
};

struct options {
    const char *config_file;
    const char *socket_path;
    enum log_level log_level;
    bool check_config;
    bool allow_root;
};

static const char main_help[] =
    "Usage: mtls-agent [OPTION]...\n"
    "Holds the way to TLS client keys on PKCS#11 tokens and signs TLS handshakes for the programs\n"
    "of its user. Stays in the foreground.\n"
    "\n"
    "  --config FILE      read this configuration file and no other\n"
    "  --check-config     say what is wrong with the configuration, and end\n"
    "  --socket PATH      listen there (default: $MTLS_AGENT_SOCK, else\n"
    "                     $XDG_RUNTIME_DIR/mtls-agent/agent.sock)\n"
    "  --allow-root       run as root, for tests and containers\n"
    "  --log-level LEVEL  error, warning, info (default) or debug\n"
    "  --version          print the version\n"
    "  --help             print this help\n"
    "\n"
    "SIGHUP reloads the configuration, SIGUSR1 forgets PINs, SIGTERM ends. See man 1 mtls-agent.\n";

static int main_parse_level(const char *text, enum log_level *ret_level)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {{"error", LOG_LEVEL_ERROR},
                  {"warning", LOG_LEVEL_WARNING},
                  {"info", LOG_LEVEL_INFO},
                  {"debug", LOG_LEVEL_DEBUG}};

    for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
        if (strcmp(text, levels[i].name) == 0) {
            *ret_level = levels[i].level;
            return 0;
        }
    }
    (void)fprintf(stderr, "mtls-agent: --log-level takes error, warning, info or debug\n");
    return EXIT_USAGE;
}

/* Return: -1 to go on, else the exit status. */
static int main_parse_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {{"config", required_argument, NULL, 'c'},
                                          {"check-config", no_argument, NULL, 'k'},
                                          {"socket", required_argument, NULL, 's'},
                                          {"allow-root", no_argument, NULL, 'r'},
                                          {"log-level", required_argument, NULL, 'l'},
                                          {"version", no_argument, NULL, 'V'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int option = 0;

    while ((option = getopt_long(argc, argv, "", known, NULL)) >= 0) {
        switch (option) {
        case 'c':
            options->config_file = optarg;
            break;
        case 'k':
            options->check_config = true;
            break;
        case 's':
            options->socket_path = optarg;
            break;
        case 'r':
            options->allow_root = true;
            break;
        case 'l':
            if (main_parse_level(optarg, &options->log_level))
                return EXIT_USAGE;
            break;
        case 'V':
            (void)printf("mtls-agent %s%s%s\n", MTLS_VERSION, MTLS_DUMPABLE ? " (dumpable)" : "",
                         MTLS_SANDBOX ? "" : " (no system-call filter)");
            return EXIT_SUCCESS;
        case 'h':
            (void)fputs(main_help, stdout);
            return EXIT_SUCCESS;
        default:
            (void)fprintf(stderr, "Try 'mtls-agent --help'.\n");
            return EXIT_USAGE;
        }
    }
    if (optind == argc)
        return -1;
    (void)fprintf(stderr, "mtls-agent: takes no arguments; try 'mtls-agent --help'\n");
    return EXIT_USAGE;
}

static void main_print_problem(void *userdata, const char *problem)
{
    (void)userdata;
    (void)fprintf(stderr, "%s\n", problem);
}

static int main_check_config(const struct options *options)
{
    struct config *config = NULL;

    int r = config_load(options->config_file, main_print_problem, NULL, &config);
    if (r < 0)
        (void)fprintf(stderr, "mtls-agent: cannot read the configuration: %s\n", strerror(-r));
    if (r)
        return EXIT_FAILURE;
    (void)config_unref(config);
    return EXIT_SUCCESS;
}

static int main_enter_sandbox(void)
{
    int r = sandbox_enter_core();

    if (r != SANDBOX_E_UNAVAILABLE)
        return r;
    log_warning("this kernel has no filters of system calls; going on without");
    return 0;
}

static int main_serve(const struct options *options)
{
    _cleanup_free_ char *default_path = NULL;
    struct agent *agent = NULL;

    int r = main_enter_sandbox();
    if (!r)
        r = paths_socket(&default_path);
    if (!r)
        r = agent_new(options->config_file, &agent);
    if (!r)
        r = agent_start(agent, options->socket_path ? options->socket_path : default_path);
    if (!r)
        r = agent_run(agent);
    (void)agent_free(agent);
    if (r < 0)
        log_error("failed: %s", strerror(-r));
    return r ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct options options = {.log_level = LOG_LEVEL_INFO};

    /* No openssl.cnf: it may name providers and engines, and this process maps no strange code. */
    if (!OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS,
                             NULL))
        return EXIT_FAILURE;
    int r = harden_standard_fds();
    if (!r)
        r = harden_process();
    if (r < 0) {
        (void)fprintf(stderr, "mtls-agent: cannot harden the process: %s\n", strerror(-r));
        return EXIT_FAILURE;
    }
    int status = main_parse_options(argc, argv, &options);
    if (status >= 0)
        return status;
    if (options.check_config)
        return main_check_config(&options);
    log_set_handler(log_to_stderr, options.log_level);
    if (geteuid() == 0 && !options.allow_root) {
        log_error("refusing to run as root: run it as the user whose keys it serves, or say "
                  "--allow-root");
        return EXIT_FAILURE;
    }
    return main_serve(&options);
}
