/* SPDX-License-Identifier: Apache-2.0 */
/* Asking p11-kit through a worker; see discovery.h. */
#include "agent/discovery.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/config_value.h"
#include "agent/worker.h"
#include "common/escape.h"
#include "common/log.h"

#define DISCOVERY_MODULES_MAX 64u
#define DISCOVERY_MS 10000u

struct discovery {
    struct agent *agent;
    struct worker *worker; /* NULL: it has ended */
    struct config *config; /* what was found, as if it had been configured */
};

struct discovery *discovery_free(struct discovery *discovery)
{
    if (!discovery)
        return NULL;
    (void)worker_free(discovery->worker);
    (void)config_unref(discovery->config);
    free(discovery);
    return NULL;
}

/* @path: taken; the first module of a name counts. */
static int discovery_append(struct discovery *discovery, const char *name, char *path)
{
    _cleanup_free_ char *owned_path = path;
    struct config_module *module = config_get_module(discovery->config, name);

    if (!module)
        return -ENOMEM;
    if (!module->path)
        module->path = TAKE_PTR(owned_path);
    return 0;
}

static void discovery_on_module(struct worker *worker, const struct worker_module *found,
                                void *userdata)
{
    struct discovery *discovery = userdata;
    _cleanup_free_ char *name = wire_span_to_text(found->name);
    _cleanup_free_ char *path = wire_span_to_text(found->path);
    _cleanup_free_ char *checked = NULL;
    char problem[CONFIG_PROBLEM_MAX] = "out of memory";
    char shown[128];

    (void)worker;
    if (!name || !path || discovery->config->module_count >= DISCOVERY_MODULES_MAX)
        return;
    /* The registry's files are held to the same rule as ours. */
    if (config_value_module_path(path, &checked, problem)) {
        log_warning("left out module %s of p11-kit: %s", escape_cstring(name, shown, sizeof(shown)),
                    problem);
        return;
    }
    if (discovery_append(discovery, name, TAKE_PTR(checked)))
        log_error("left out a module of p11-kit: out of memory");
}

static void discovery_finish(struct discovery *discovery, enum worker_end end)
{
    struct agent *agent = discovery->agent;

    agent_take_discovered(agent, discovery->config, end == WORKER_END_RETIRED);
    if (discovery->config->module_count == 0)
        log_info("p11-kit knows no module with tokens; write a [module] section (man 5 "
                 "mtls-agent.conf)");
}

static void discovery_on_ended(struct worker *worker, enum worker_end end, void *userdata)
{
    struct discovery *discovery = userdata;
    struct agent *agent = discovery->agent;

    (void)worker_free(worker);
    discovery->worker = NULL;
    if (end == WORKER_END_CRASH && discovery->config->module_count == 0)
        log_error("asking p11-kit for its modules failed; write a [module] section instead");
    discovery_finish(discovery, end);
    agent->discovery = discovery_free(discovery);
    agent_check_settled(agent);
}

static void discovery_on_end(struct worker *worker, void *userdata)
{
    (void)userdata;
    worker_dismiss(worker);
}

static void discovery_on_other(struct worker *worker, void *userdata)
{
    (void)userdata;
    worker_kill(worker, WORKER_END_INVALID);
}

static void discovery_on_login_reply(struct worker *worker, const struct worker_reply *reply,
                                     void *userdata)
{
    (void)reply;
    discovery_on_other(worker, userdata);
}

static void discovery_on_sign_reply(struct worker *worker, struct sign_request *request,
                                    const struct worker_reply *reply, void *userdata)
{
    (void)request;
    (void)reply;
    discovery_on_other(worker, userdata);
}

static void discovery_on_failure(struct worker *worker, const struct worker_failure *failure,
                                 void *userdata)
{
    (void)failure;
    discovery_on_other(worker, userdata);
}

static const struct worker_callbacks discovery_callbacks = {
    .inventory = discovery_on_other,
    .login_reply = discovery_on_login_reply,
    .sign_reply = discovery_on_sign_reply,
    .failure = discovery_on_failure,
    .module = discovery_on_module,
    .discover_end = discovery_on_end,
    .ended = discovery_on_ended,
};

void discovery_check_deadline(struct discovery *discovery, uint64_t now_ms)
{
    if (!worker_is_late(discovery->worker, now_ms, DISCOVERY_MS, 0))
        return;
    log_error("asking p11-kit for its modules took too long; write [module] sections instead, or "
              "reload the agent (SIGHUP) to ask again");
    worker_kill(discovery->worker, WORKER_END_TIMEOUT);
}

int discovery_start(struct agent *agent, struct discovery **ret_discovery)
{
    struct discovery *discovery = calloc(1, sizeof(*discovery));

    if (!discovery)
        return -ENOMEM;
    discovery->agent = agent;
    discovery->config = calloc(1, sizeof(*discovery->config));
    if (!discovery->config) {
        free(discovery);
        return -ENOMEM;
    }
    discovery->config->ref_count = 1;
    discovery->config->is_discovered = true;
    int r = worker_spawn(agent->event, "discovery", NULL, &discovery_callbacks, discovery,
                         &discovery->worker);
    if (!r)
        r = worker_send_discover(discovery->worker);
    if (r) {
        (void)discovery_free(discovery);
        return r;
    }
    *ret_discovery = discovery;
    return 0;
}
