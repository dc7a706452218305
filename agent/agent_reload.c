/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration in force, and the modules that it wants; see agent_reload.h. */
#include "agent/agent_reload.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/connection.h"
#include "agent/discovery.h"
#include "agent/module.h"
#include "agent/notice.h"
#include "agent/pin_ledger.h"
#include "common/log.h"

static void agent_report_problem(void *userdata, const char *problem)
{
    struct agent *agent = userdata;

    log_error("%s", problem);
    if (agent->config_text[0] == '\0')
        (void)snprintf(agent->config_text, sizeof(agent->config_text), "%s", problem);
}

static bool agent_config_has(const struct config *config, const struct module *module)
{
    for (size_t i = 0; i < config->module_count; i++)
        if (config_module_is_equal(config->modules[i], module->config))
            return true;
    return false;
}

/* Those that p11-kit named stay while none is configured. */
static bool agent_module_stays(const struct config *config, const struct module *module)
{
    if (config->module_count == 0)
        return module->config_owner->is_discovered;
    return agent_config_has(config, module);
}

static bool agent_has_module(const struct agent *agent, const struct config_module *config)
{
    list_for_each (link, &agent->modules) {
        const struct module *module = list_entry(link, struct module, link);
        if (!module->is_leaving && config_module_is_equal(module->config, config))
            return true;
    }
    return false;
}

int agent_add_module(struct agent *agent, struct config *owner, const struct config_module *config)
{
    struct module *module = NULL;

    int r = module_new(agent, owner, config, &module);
    if (r)
        return r;
    list_append(&agent->modules, &module->link);
    module_start(module);
    return 0;
}

/* Starts the modules of @config that do not run yet. */
static void agent_add_modules(struct agent *agent, struct config *config)
{
    for (size_t i = 0; i < config->module_count; i++) {
        if (agent_has_module(agent, config->modules[i]))
            continue;
        int r = agent_add_module(agent, config, config->modules[i]);
        if (!r)
            continue;
        log_error("cannot add module %s: %s; trying again", config->modules[i]->name, strerror(-r));
        agent->misses_modules = true;
    }
}

void agent_start_modules(struct agent *agent)
{
    int r = 0;

    agent->misses_modules = false;
    agent_add_modules(agent, agent->config);
    if (agent->config->module_count > 0)
        agent->discovery = discovery_free(agent->discovery);
    else if (!agent->discovery)
        r = discovery_start(agent, &agent->discovery);
    if (r)
        log_error("cannot ask p11-kit for its modules: %s", strerror(-r));
    agent_check_settled(agent);
    agent_watch(agent);
}

void agent_take_discovered(struct agent *agent, struct config *found, bool is_whole)
{
    list_for_each_safe (link, &agent->modules) {
        struct module *module = list_entry(link, struct module, link);
        if (is_whole && !module->is_leaving && !agent_config_has(found, module))
            module_leave(module);
    }
    agent_add_modules(agent, found);
}

/* Modules that are configured as before go on untouched; in-flight requests finish everywhere. */
static void agent_apply_modules(struct agent *agent)
{
    list_for_each_safe (link, &agent->modules) {
        struct module *module = list_entry(link, struct module, link);
        if (!agent_module_stays(agent->config, module))
            module_leave(module);
        else
            module_reload(module);
    }
    agent_start_modules(agent);
}

int agent_load_config(struct agent *agent)
{
    struct config *config = NULL;
    struct audit *audit = NULL;

    agent->config_text[0] = '\0';
    int r = config_load(agent->config_file, agent_report_problem, agent, &config);
    if (r)
        return r;
    r = audit_new(config, &audit);
    if (r) {
        (void)snprintf(agent->config_text, sizeof(agent->config_text),
                       "the audit file cannot be opened");
        (void)config_unref(config);
        return r;
    }
    (void)audit_free(agent->audit);
    agent->audit = audit;
    (void)config_unref(agent->config);
    agent->config = config;
    return 0;
}

/* Users that are not served any more get the answers that they wait for, and no further ones. */
static void agent_dismiss_strangers(struct agent *agent)
{
    list_for_each_safe (link, &agent->connections) {
        struct connection *connection = list_entry(link, struct connection, link);
        if (!agent_serves(agent, connection->peer))
            connection_stop_reading(connection);
    }
}

void agent_reload(struct agent *agent)
{
    int r = agent_load_config(agent);

    if (r) {
        if (agent->config_text[0] == '\0')
            (void)snprintf(agent->config_text, sizeof(agent->config_text), "%s",
                           strerror(r < 0 ? -r : EINVAL));
        log_error("the configuration was not taken; the old one stays in force");
        return;
    }
    pin_ledger_forgive(agent->ledger);
    agent_apply_modules(agent);
    agent_keys_changed(agent);
    agent_dismiss_strangers(agent);
    notice_board_enable(agent->notices, agent->config->notify);
    log_info("the configuration was loaded");
}
