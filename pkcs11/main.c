/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token-worker: the only process that maps a vendor's PKCS#11 module. Started by the core with its
 * end of the socket pair as descriptor 3 and the ledger as 4; it serves one module and ends when
 * the core goes. It has no network, sees no client's bytes but digests, and may be killed at any
 * moment.
 */
#include <fcntl.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "common/escape.h"
#include "common/frame.h"
#include "common/harden.h"
#include "common/log.h"
#include "pkcs11/ckr.h"
#include "pkcs11/discover.h"
#include "pkcs11/inventory.h"
#include "pkcs11/pcsc_use.h"
#include "pkcs11/requests.h"
#include "sandbox/sandbox.h"

/* One module, one worker, one process. */
static struct worker worker = {.link = WORKER_FD_SOCKET};

/*
 * Signals: the core's mask is not ours, its terminal's Ctrl-C is for the core, which lets us finish
 * what is in flight and then closes the socket; SIGKILL is its other word.
 */
static void main_set_signals(void)
{
    static const int ignored[] = {SIGPIPE, SIGINT, SIGHUP, SIGTERM};
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
        (void)signal(ignored[i], SIG_IGN);
}

static int main_map_ledger(void)
{
    struct stat st;

    if (fstat(WORKER_FD_LEDGER, &st) < 0)
        return -errno;
    if (st.st_size < (off_t)sizeof(struct worker_ledger))
        return -EINVAL;
    void *map = mmap(NULL, sizeof(struct worker_ledger), PROT_READ | PROT_WRITE, MAP_SHARED,
                     WORKER_FD_LEDGER, 0);
    if (map == MAP_FAILED)
        return -errno;
    worker.ledger = map;
    return 0;
}

/*
 * Before anything else is done. A core that died before the first line here has closed its end of
 * the socket: the first receive then ends the worker.
 */
static int main_prepare(void)
{
    int r = harden_standard_fds();

    log_set_handler(log_to_stderr, LOG_LEVEL_INFO);
    if (r == 0)
        r = harden_process();
    if (r == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        r = -errno;
    if (r == 0 && close_range(WORKER_FD_LEDGER + 1, ~0u, 0) < 0)
        r = -errno;
    if (r)
        return r;
    main_set_signals();
    r = link_init(WORKER_FD_SOCKET);
    if (r == 0)
        r = main_map_ledger();
    /* The system's openssl.cnf may activate providers, this project's own among them. And nothing
     * of OpenSSL may run at exit. */
    if (r == 0 && !OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL))
        r = -ENOMEM;
    if (r == 0)
        r = sandbox_enter_worker();
    /* the core has said so */
    return r == SANDBOX_E_UNAVAILABLE ? 0 : r;
}

_Noreturn static void main_fail(const struct module_failure *failure)
{
    struct wire_writer writer;
    char text[PROTOCOL_TEXT_MAX];
    struct worker_failure msg = {.permanent = failure->permanent,
                                 .ck_rv = (uint32_t)failure->rv,
                                 .uses_pcsc = pcsc_is_mapped()};

    /* The loader's words are any bytes. */
    msg.text.data = (const uint8_t *)text;
    msg.text.len = text_clean(wire_span_from_text(failure->text), text, sizeof(text));
    wire_writer_init(&writer, LINK_PACKET_MAX);
    if (worker_failure_encode(&writer, &msg) == 0)
        (void)!link_send(worker.link, &writer);
    _exit(1);
}

_Noreturn static void main_fail_memory(void)
{
    const struct module_failure failure = {.rv = CKR_HOST_MEMORY,
                                           .text = "the worker is out of memory"};

    main_fail(&failure);
}

/* Certificates from the configuration; one that cannot be used is told and left out. */
static void main_add_files(const struct worker_load *load)
{
    for (size_t i = 0; i < load->cert_count; i++) {
        _cleanup_free_ char *uri = wire_span_to_text(load->certs[i].uri);
        char shown[PROTOCOL_SELECTOR_MAX];

        int r = uri ? cert_list_add_file(&worker.files, uri, load->certs[i].cert) : -ENOMEM;
        if (r == -ENOMEM)
            main_fail_memory();
        if (r)
            log_warning("the certificate that is configured for %s cannot be used",
                        escape_cstring(uri, shown, sizeof(shown)));
    }
}

static void main_load(const struct worker_load *load)
{
    _cleanup_free_ char *path = wire_span_to_text(load->path);
    _cleanup_free_ char *init_args = wire_span_to_text(load->init_args);
    struct module_failure failure = {0};

    if (!path || !init_args)
        main_fail_memory();
    worker.verify = load->verify;
    main_add_files(load);
    if (module_load(path, init_args, &worker.module, &failure))
        main_fail(&failure);
    worker.session_max = load->sessions;
    if (token_list_new(&worker.module, worker.session_max, &worker.tokens, &worker.token_count))
        main_fail_memory();
    CK_RV rv = inventory_read_all(&worker);
    if (rv != CKR_OK) {
        failure.rv = rv;
        (void)snprintf(failure.text, sizeof(failure.text),
                       "the tokens of the module %s cannot be read: %s (0x%lx)", path, ckr_name(rv),
                       rv);
        main_fail(&failure);
    }
}

static void *main_thread(void *arg)
{
    requests_serve(arg);
}

/* The lock prefers writers, so that a login gets through under load. */
static int main_init_lock(void)
{
    pthread_rwlockattr_t attr;
    int r = pthread_rwlockattr_init(&attr);

    if (r == 0)
        r = pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    if (r == 0)
        r = pthread_rwlock_init(&worker.lock, &attr);
    return -r;
}

/* All threads but the first; that is the caller. */
static void main_start_threads(size_t count)
{
    worker.signers = calloc(count, sizeof(*worker.signers));
    if (!worker.signers || main_init_lock())
        main_fail_memory();
    for (size_t i = 0; i < count; i++)
        if (signer_init(&worker.signers[i], &worker))
            main_fail_memory();
    worker.signer_count = count;
    if (inventory_send(&worker, &worker.signers[0].writer))
        _exit(1);
    for (size_t i = 1; i < count; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, main_thread, &worker.signers[i]))
            main_fail_memory();
    }
}

_Noreturn static void main_discover(void)
{
    struct wire_writer writer;

    wire_writer_init(&writer, LINK_PACKET_MAX);
    _exit(discover_send(worker.link, &writer) ? 1 : 0);
}

/* Software signs on one thread: the core runs more processes instead, and a process with a single
 * thread pays less for its locks. */
static size_t main_count_threads(size_t hardware_threads)
{
    for (size_t i = 0; i < worker.token_count; i++)
        if (worker.tokens[i].hardware)
            return hardware_threads;
    return 1;
}

/* What the first message asks for. Returns the number of threads, with the module loaded. */
static size_t main_handle_first(struct wire_span packet)
{
    static struct worker_load load;
    struct frame frame;

    if (frame_parse(packet, &frame))
        _exit(1);
    if (frame.type == WORKER_DISCOVER && frame.body.len == 0)
        main_discover();
    if (frame.type != WORKER_LOAD || worker_load_parse(frame.body, &load))
        _exit(1);
    main_load(&load);
    return main_count_threads(load.threads);
}

static size_t main_receive_first(void)
{
    _cleanup_free_ uint8_t *buffer = malloc(LINK_PACKET_MAX);
    struct wire_span packet;
    int fd = -1;

    if (!buffer)
        main_fail_memory();
    int r = link_receive(worker.link, true, buffer, &packet, &fd);
    (void)close_fd(fd);
    if (r)
        _exit(r == LINK_E_END ? 0 : 1);
    return main_handle_first(packet);
}

int main(void)
{
    int r = main_prepare();

    if (r) {
        log_error("token-worker is started by mtls-agent and not by hand: %s", strerror(-r));
        _exit(2);
    }
    main_start_threads(main_receive_first());
    requests_serve(&worker.signers[0]);
}
