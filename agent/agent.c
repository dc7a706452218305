/* SPDX-License-Identifier: Apache-2.0 */
/* Beginning, reloading, ending; and what all parts share. See agent.h. */
#include "agent/agent.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include "agent/agent_reload.h"
#include "agent/connection.h"
#include "agent/discovery.h"
#include "agent/listener.h"
#include "agent/module.h"
#include "agent/module_login.h"
#include "agent/module_readers.h"
#include "agent/notice.h"
#include "agent/pin_ledger.h"
#include "agent/pin_source.h"
#include "agent/readers.h"
#include "agent/session.h"
#include "agent/sign_request.h"
#include "common/clock.h"
#include "common/log.h"

#define AGENT_TICK_FAST_US 250000u   /* while something with a deadline is under way */
#define AGENT_TICK_SLOW_US 60000000u /* for idle connections */
#define AGENT_SETTLE_MS 30000u       /* clients wait so long for modules that do not come up */
#define AGENT_NO_MEMORY_MS 10        /* before the loop is tried again */

bool agent_serves(const struct agent *agent, const struct peer *peer)
{
    if (peer->uid == PEER_UID_OVERFLOW || peer->uid == (uid_t)-1)
        return false;
    if (peer->uid == agent->uid)
        return true;
    for (size_t i = 0; i < agent->config->user_count; i++)
        if (agent->config->users[i] == peer->uid)
            return true;
    return false;
}

static void agent_arm_tick(struct agent *agent, bool is_fast)
{
    int r = sd_event_source_set_time_relative(agent->tick,
                                              is_fast ? AGENT_TICK_FAST_US : AGENT_TICK_SLOW_US);

    if (r >= 0)
        r = sd_event_source_set_enabled(agent->tick, SD_EVENT_ONESHOT);
    if (r < 0)
        log_error("cannot arm the deadline timer: %s", strerror(-r));
    agent->tick_is_fast = is_fast;
}

void agent_watch(struct agent *agent)
{
    /* Once armed it stays so until it has found nothing to do: no timer call per request. */
    if (!agent->tick_is_fast)
        agent_arm_tick(agent, true);
}

static bool agent_check_requests(struct agent *agent, uint64_t now_ms)
{
    list_for_each_safe (link, &agent->sign_requests) {
        struct sign_request *request = list_entry(link, struct sign_request, link);
        if (!request->is_answered && now_ms >= request->deadline_ms)
            sign_request_expire(request);
        else
            hold_check_limit(request, now_ms);
    }
    return !list_is_empty(&agent->sign_requests);
}

static bool agent_check_modules(struct agent *agent, uint64_t now_ms)
{
    bool is_busy = agent->discovery != NULL;

    if (agent->discovery)
        discovery_check_deadline(agent->discovery, now_ms);
    list_for_each_safe (link, &agent->modules)
        is_busy |= module_check_deadlines(list_entry(link, struct module, link), now_ms);
    return is_busy;
}

static bool agent_check_connections(struct agent *agent, uint64_t now_ms)
{
    bool is_busy = false;

    list_for_each_safe (link, &agent->connections) {
        struct connection *connection = list_entry(link, struct connection, link);
        is_busy |= connection->has_partial_frame || !connection->has_said_hello ||
                   connection->is_parked || connection->output.len > 0;
        connection_check_deadline(connection, now_ms);
    }
    return is_busy;
}

static void agent_settle(struct agent *agent)
{
    agent->is_settled = true;
    list_for_each_safe (link, &agent->connections)
        connection_resume(list_entry(link, struct connection, link));
    agent_free_retired(agent);
}

/* What could not be done for want of memory. */
static void agent_catch_up(struct agent *agent)
{
    if (agent->misses_modules && !agent->is_stopping)
        agent_start_modules(agent);
    if (agent->keyring_is_stale)
        agent_keys_changed(agent);
}

static int agent_handle_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct agent *agent = userdata;
    uint64_t now_ms = clock_monotonic_ms();

    (void)source;
    (void)usec;
    agent_catch_up(agent);
    bool is_busy = agent->keyring_is_stale || agent->misses_modules;
    is_busy |= agent_check_requests(agent, now_ms);
    is_busy |= agent_check_modules(agent, now_ms);
    is_busy |= agent_check_connections(agent, now_ms);
    touch_check(agent);
    agent_free_retired(agent);
    if (!agent->is_settled && now_ms - agent->started_ms > AGENT_SETTLE_MS)
        agent_settle(agent);
    if (is_busy || !list_is_empty(&agent->connections))
        agent_arm_tick(agent, is_busy);
    else
        agent->tick_is_fast = false;
    return 0;
}

/* It waits for its token: in no queue, and with no worker. */
static bool agent_request_waits(const struct sign_request *request, const struct module *module,
                                const struct worker_token *token)
{
    const struct worker_token id = sign_request_get_token(request);

    return !request->is_with_worker && !request->is_answered && !request->waits_for_pin &&
           (!request->module || request->module == module) && inventory_is_same_token(&id, token);
}

bool agent_login_is_wanted(const struct agent *agent, const struct module *module,
                           const struct worker_token *token)
{
    list_for_each (link, &agent->sign_requests)
        if (agent_request_waits(list_entry(link, struct sign_request, link), module, token))
            return true;
    return false;
}

void agent_login_ended(struct agent *agent, const struct module *module,
                       const struct worker_token *token, enum protocol_error_code code,
                       const char *text)
{
    hold_review_soon(agent);
    if (!code || code == PROTOCOL_E_TOKEN_GONE)
        return;
    list_for_each_safe (link, &agent->sign_requests) {
        struct sign_request *request = list_entry(link, struct sign_request, link);
        if (!fair_item_is_queued(&request->item) && agent_request_waits(request, module, token))
            sign_request_fail(request, code, text);
    }
}

void agent_check_settled(struct agent *agent)
{
    if (agent->is_settled || agent->discovery)
        return;
    list_for_each (link, &agent->modules)
        if (!list_entry(link, struct module, link)->has_settled)
            return;
    agent_settle(agent);
}

/* Who waits for what names a user's programs: not for other users. */
static bool agent_tells(const struct agent *agent, const struct connection *connection,
                        uint32_t kind)
{
    uid_t uid = connection->peer->uid;

    return connection->subscription_id && (connection->subscription_mask & kind) &&
           (kind != EVENT_WAITING || uid == agent->uid || uid == 0);
}

void agent_broadcast(struct agent *agent, uint32_t kind, const char *subject, const char *text)
{
    list_for_each_safe (link, &agent->connections) {
        struct connection *connection = list_entry(link, struct connection, link);
        const struct protocol_event event = {
            .id = connection->subscription_id,
            .kind = kind,
            .subject = wire_span_from_text(subject),
            .text = wire_span_from_text(text),
        };
        if (!agent_tells(agent, connection, kind))
            continue;
        if (protocol_event_encode(&connection->output, &event))
            connection->is_closing = true;
        connection_send(connection);
    }
}

bool agent_person_is_told(const struct agent *agent)
{
    if (agent->notices && notice_can_show(agent->notices))
        return true;
    list_for_each (link, &agent->connections)
        if (agent_tells(agent, list_entry(link, struct connection, link), EVENT_WAITING))
            return true;
    return false;
}

static int agent_build_keyring(struct agent *agent, struct keyring **ret_keyring)
{
    _cleanup_(cleanup_keyring) struct keyring *keyring = keyring_new(agent->config);

    if (!keyring)
        return -ENOMEM;
    list_for_each (link, &agent->modules) {
        struct module *module = list_entry(link, struct module, link);
        int r = module->is_leaving ? 0 : keyring_add(keyring, module);
        if (r)
            return r;
    }
    int r = keyring_finish(keyring);
    if (r)
        return r;
    *ret_keyring = TAKE_PTR(keyring);
    return 0;
}

static void agent_tell_keys_changed(struct agent *agent)
{
    agent_broadcast(agent, EVENT_KEYS_CHANGED, "", "the list of keys may have changed");
}

void agent_keys_changed(struct agent *agent)
{
    struct keyring *keyring = NULL;

    int r = agent_build_keyring(agent, &keyring);
    agent->keyring_is_stale = r != 0;
    if (r) {
        log_error("cannot rebuild the list of keys: %s; trying again", strerror(-r));
        agent_watch(agent);
        return;
    }
    (void)keyring_free(agent->keyring);
    agent->keyring = keyring;
    hold_review_soon(agent);
    agent_tell_keys_changed(agent);
}

void agent_look_again(struct agent *agent)
{
    list_for_each (link, &agent->modules)
        module_look_again(list_entry(link, struct module, link));
    agent_watch(agent);
}

void agent_forget_pins(struct agent *agent, const char *why)
{
    size_t count = 0;

    list_for_each_safe (link, &agent->modules)
        count += module_login_forget(list_entry(link, struct module, link), why);
    if (count > 0)
        log_info("forgot the PINs of %zu tokens: %s", count, why);
    else
        log_info("%s: there was no PIN to forget", why);
    agent_watch(agent);
}

bool agent_is_forgetting(const struct agent *agent)
{
    list_for_each (link, &agent->modules)
        if (module_is_replacing(list_entry(link, struct module, link)))
            return true;
    return false;
}

void agent_module_left(struct agent *agent, struct module *module)
{
    list_remove(&module->link);
    keyring_forget(agent->keyring, module);
    agent_tell_keys_changed(agent);
    list_for_each (link, &agent->connections)
        fair_lines_forget(&list_entry(link, struct connection, link)->lines, module);
    (void)module_free(module);
    agent_check_settled(agent);
}

void agent_retire_connection(struct agent *agent, struct connection *connection)
{
    if (connection->is_retired)
        return;
    connection->is_retired = true;
    list_remove(&connection->link);
    list_append(&agent->retired, &connection->link);
    int r = sd_event_source_set_enabled(agent->sweep, SD_EVENT_ONESHOT);
    if (r < 0)
        log_error("cannot schedule the end of a connection: %s", strerror(-r));
}

void agent_free_retired(struct agent *agent)
{
    while (!list_is_empty(&agent->retired))
        (void)connection_free(list_entry(agent->retired.next, struct connection, link));
}

static int agent_handle_sweep(sd_event_source *source, void *userdata)
{
    (void)source;
    agent_free_retired(userdata);
    return 0;
}

static int agent_handle_reload(sd_event_source *source, const struct signalfd_siginfo *info,
                               void *userdata)
{
    struct agent *agent = userdata;

    (void)source;
    (void)info;
    if (agent->is_stopping)
        return 0;
    /* Telling systemd and reading files needs a descriptor, also when clients have used up all. */
    agent->reserve_fd = close_fd(agent->reserve_fd);
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
                     (unsigned long long)clock_now_us(CLOCK_MONOTONIC));
    agent_reload(agent);
    (void)sd_notify(0, "READY=1");
    agent->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return 0;
}

static int agent_handle_forget(sd_event_source *source, const struct signalfd_siginfo *info,
                               void *userdata)
{
    (void)source;
    (void)info;
    agent_forget_pins(userdata, "SIGUSR1 was sent");
    return 0;
}

static int agent_handle_stop_time(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct agent *agent = userdata;

    (void)source;
    (void)usec;
    return sd_event_exit(agent->event, 0);
}

static bool agent_has_worker(const struct agent *agent)
{
    list_for_each (link, &agent->modules)
        if (list_entry(link, struct module, link)->worker_count > 0)
            return true;
    return false;
}

/* What is in flight is finished, then the workers end by themselves, then the ledger of refused
 * PINs is written, then we end. */
static int agent_advance_stop(struct agent *agent)
{
    if (!list_is_empty(&agent->sign_requests))
        return 0;
    if (!agent->is_draining) {
        agent->is_draining = true;
        list_for_each (link, &agent->modules)
            module_stop(list_entry(link, struct module, link));
        agent_watch(agent);
    }
    if (agent_has_worker(agent) || pin_source_has_released())
        return 0;
    return sd_event_exit(agent->event, 0);
}

static int agent_handle_idle(sd_event_source *source, void *userdata)
{
    (void)source;
    return agent_advance_stop(userdata);
}

static int agent_handle_signal(sd_event_source *source, const struct signalfd_siginfo *info,
                               void *userdata)
{
    struct agent *agent = userdata;

    (void)source;
    if (agent->is_stopping)
        return sd_event_exit(agent->event, 0);
    log_info("ending on signal %u", info->ssi_signo);
    (void)sd_notify(0, "STOPPING=1");
    agent->is_stopping = true;
    agent->listener = listener_free(agent->listener);
    hold_fail_all(agent);
    list_for_each_safe (link, &agent->modules)
        module_login_stop(list_entry(link, struct module, link));
    int r = sd_event_add_time_relative(agent->event, &agent->stop, CLOCK_MONOTONIC,
                                       (uint64_t)AGENT_STOP_MS * 1000, 0, agent_handle_stop_time,
                                       agent);
    if (r >= 0)
        r = sd_event_add_post(agent->event, NULL, agent_handle_idle, agent);
    return r < 0 ? sd_event_exit(agent->event, 0) : agent_advance_stop(agent);
}

static int agent_add_timers(struct agent *agent)
{
    int r = sd_event_add_time(agent->event, &agent->tick, CLOCK_MONOTONIC, UINT64_MAX, 0,
                              agent_handle_tick, agent);

    if (r >= 0)
        r = sd_event_source_set_enabled(agent->tick, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_defer(agent->event, &agent->sweep, agent_handle_sweep, agent);
    if (r >= 0)
        r = sd_event_source_set_enabled(agent->sweep, SD_EVENT_OFF);
    return r < 0 ? r : 0;
}

static int agent_add_signals(struct agent *agent)
{
    static const int ends[] = {SIGTERM, SIGINT};
    sigset_t child;
    int r = 0;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&child);
    (void)sigaddset(&child, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &child, NULL) < 0)
        return -errno;
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(ends); i++)
        r = sd_event_add_signal(agent->event, NULL, ends[i] | SD_EVENT_SIGNAL_PROCMASK,
                                agent_handle_signal, agent);
    if (r >= 0)
        r = sd_event_add_signal(agent->event, NULL, SIGHUP | SD_EVENT_SIGNAL_PROCMASK,
                                agent_handle_reload, agent);
    if (r >= 0)
        r = sd_event_add_signal(agent->event, NULL, SIGUSR1 | SD_EVENT_SIGNAL_PROCMASK,
                                agent_handle_forget, agent);
    return r < 0 ? r : 0;
}

/* A thousand clients must not fail on the soft limit that select(2) programs need. */
static void agent_raise_limits(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void agent_on_readers(void *userdata)
{
    struct agent *agent = userdata;
    struct list *previous = NULL;

    /* From the end: while the first module still shows a card that is gone, those after it know
     * that it was not through them. */
    for (struct list *link = agent->modules.previous; link != &agent->modules; link = previous) {
        previous = link->previous;
        module_readers_changed(list_entry(link, struct module, link));
    }
    /* What is waited for may be kept away by something else now. */
    hold_review_soon(agent);
}

static int agent_prepare(struct agent *agent, const char *config_file)
{
    if (config_file) {
        agent->config_file = strdup(config_file);
        if (!agent->config_file)
            return -ENOMEM;
    }
    agent->ledger = pin_ledger_new();
    agent->digester = digester_new();
    if (!agent->digester || !agent->ledger)
        return -ENOMEM;
    int r = agent_load_config(agent);
    if (r)
        return r < 0 ? r : AGENT_E_REFUSED;
    agent->keyring = keyring_new(agent->config);
    if (!agent->keyring)
        return -ENOMEM;
    r = keyring_finish(agent->keyring);
    if (r)
        return r;
    r = sd_event_new(&agent->event);
    if (r >= 0)
        r = agent_add_timers(agent);
    if (r >= 0)
        r = agent_add_signals(agent);
    if (r >= 0)
        r = hold_init(agent);
    if (r >= 0)
        r = readers_new(agent->event, agent_on_readers, agent, &agent->readers);
    /* Fed by the loop itself: a loop that does not turn is not fed. */
    if (r >= 0)
        r = sd_event_set_watchdog(agent->event, true);
    return r < 0 ? r : 0;
}

int agent_new(const char *config_file, struct agent **ret_agent)
{
    struct agent *agent = calloc(1, sizeof(*agent));

    if (!agent)
        return -ENOMEM;
    list_init(&agent->modules);
    list_init(&agent->connections);
    list_init(&agent->retired);
    list_init(&agent->sign_requests);
    refusals_init(&agent->refusals);
    waiting_list_init(&agent->waiting);
    touch_memory_init(&agent->touch);
    agent->uid = geteuid();
    agent->started_ms = clock_monotonic_ms();
    agent->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    agent_raise_limits();
    int r = agent_prepare(agent, config_file);
    if (r) {
        (void)agent_free(agent);
        return r;
    }
    *ret_agent = agent;
    return 0;
}

static void agent_on_accept(void *userdata, int fd)
{
    connection_accept(userdata, fd);
}

int agent_start(struct agent *agent, const char *socket_path)
{
    int r = listener_new(agent->event, socket_path, agent_on_accept, agent, &agent->listener);

    if (r)
        return r < 0 ? r : AGENT_E_REFUSED;
    r = notice_board_new(agent->event, &agent->notices);
    if (!r)
        r = session_watch_new(agent, &agent->session);
    if (r)
        return r;
    notice_board_enable(agent->notices, agent->config->notify);
    agent_start_modules(agent);
    return 0;
}

int agent_run(struct agent *agent)
{
    int r = 0;

    (void)sd_notify(0, "READY=1");
    while (r >= 0 && sd_event_get_state(agent->event) != SD_EVENT_FINISHED) {
        r = sd_event_run(agent->event, lookout_goes_on(&agent->lookout) ? 0 : UINT64_MAX);
        if (r != -ENOMEM)
            continue;
        /* The loop had no memory to wait with: nothing was lost, and it may have some soon. */
        (void)poll(NULL, 0, AGENT_NO_MEMORY_MS);
        r = 0;
    }
    return r < 0 ? r : 0;
}

struct agent *agent_free(struct agent *agent)
{
    if (!agent)
        return NULL;
    /* Releasing the signal sources unblocks their signals: one more must not kill us half-way. */
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGUSR1, SIG_IGN);
    agent->is_stopping = true;
    agent->is_settled = true;
    agent->listener = listener_free(agent->listener);
    agent->discovery = discovery_free(agent->discovery);
    agent->session = session_watch_free(agent->session);
    /* Modules first: what is still in flight is answered before its connection ends. */
    list_for_each_safe (link, &agent->modules)
        (void)module_free(list_entry(link, struct module, link));
    while (!list_is_empty(&agent->connections))
        (void)connection_free(list_entry(agent->connections.next, struct connection, link));
    agent_free_retired(agent);
    pin_source_kill_released();
    agent->readers = readers_free(agent->readers);
    agent->notices = notice_board_free(agent->notices);
    waiting_list_deinit(&agent->waiting);
    touch_memory_deinit(&agent->touch);
    (void)keyring_free(agent->keyring);
    (void)audit_free(agent->audit);
    (void)digester_free(agent->digester);
    (void)pin_ledger_free(agent->ledger);
    frame_buffer_deinit(&agent->spare_input);
    sd_event_source_disable_unref(agent->tick);
    sd_event_source_disable_unref(agent->sweep);
    hold_deinit(agent);
    sd_event_source_disable_unref(agent->stop);
    (void)config_unref(agent->config);
    (void)sd_event_unref(agent->event);
    (void)close_fd(agent->reserve_fd);
    free(agent->config_file);
    free(agent);
    return NULL;
}
