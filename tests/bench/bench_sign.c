/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signs in a loop, one way; the backend that it is linked with says which (signer.h). With --once:
 * one signature and the end, for measuring a fresh process.
 */
#include <getopt.h>
#include <string.h>

#include "bench_loop.h"
#include "relay.h"
#include "signer.h"

const uint8_t signer_content[SIGNER_CONTENT_LEN] =
    "                                                                "
    "TLS 1.3, client CertificateVerify\0"
    "a transcript hash of thirty-two ";

/* SHA-256 of signer_content */
const uint8_t signer_digest[32] = {0x8f, 0x95, 0x49, 0xd4, 0xda, 0x84, 0xa4, 0x08, 0xba, 0xd8, 0xbf,
                                   0x55, 0x44, 0x35, 0x36, 0x58, 0x43, 0x44, 0x9c, 0xaa, 0x3d, 0x1a,
                                   0x4b, 0x0a, 0x57, 0x42, 0x03, 0x7c, 0xa7, 0x47, 0x85, 0x02};

static int usage(void)
{
    (void)fputs("usage: bench-sign-* --key KEY [--rsa] [--threads N] [--own-connection] [--once]\n"
                "                    [--module FILE --token LABEL --pin PIN] [--relay]\n",
                stderr);
    return 2;
}

static int work(void *context)
{
    return signer_sign(context);
}

static int sign_with_threads(struct signer *signer, unsigned int count, bool once)
{
    void *contexts[BENCH_THREADS_MAX] = {NULL};
    int r = 0;

    for (unsigned int i = 0; i < count && !r; i++) {
        struct signer_thread *thread = NULL;
        r = signer_thread_open(signer, &thread);
        contexts[i] = thread;
    }
    if (!r)
        r = once ? signer_sign(contexts[0]) : bench_loop(work, contexts, count);
    for (unsigned int i = 0; i < count; i++)
        if (contexts[i])
            signer_thread_close(contexts[i]);
    return r;
}

static int sign_over_relay(const struct signer_options *options)
{
    struct relay relay = {-1};
    void *contexts[] = {&relay};

    /* The first one waits until the signer is ready. */
    if (relay_start(options, &relay) || relay_sign(&relay))
        return 1;
    return bench_loop(relay_sign, contexts, 1);
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"key", required_argument, NULL, 'k'},     {"rsa", no_argument, NULL, 'r'},
        {"threads", required_argument, NULL, 't'}, {"own-connection", no_argument, NULL, 'o'},
        {"once", no_argument, NULL, '1'},          {"module", required_argument, NULL, 'm'},
        {"token", required_argument, NULL, 'T'},   {"pin", required_argument, NULL, 'p'},
        {"relay", no_argument, NULL, 'R'},         {NULL, 0, NULL, 0},
    };
    struct signer_options options = {0};
    struct signer *signer = NULL;
    unsigned long threads = 1;
    bool once = false;
    bool relay = false;

    for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        switch (c) {
        case 'k':
            options.key = optarg;
            break;
        case 'r':
            options.is_rsa = true;
            break;
        case 't':
            threads = strtoul(optarg, NULL, 10);
            break;
        case 'o':
            options.own_connection = true;
            break;
        case '1':
            once = true;
            break;
        case 'm':
            options.module = optarg;
            break;
        case 'T':
            options.token = optarg;
            break;
        case 'p':
            options.pin = optarg;
            break;
        case 'R':
            relay = true;
            break;
        default:
            return usage();
        }
    }
    if (!options.key || threads < 1 || threads > BENCH_THREADS_MAX)
        return usage();
    if (relay)
        return sign_over_relay(&options);
    if (signer_open(&options, &signer))
        return 1;
    int r = sign_with_threads(signer, (unsigned int)threads, once);
    signer_close(signer);
    return r;
}
