/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent inside the test: link with module_seam_link_args, and what the PKCS#11 module asks the
 * client library comes here. It answers at once with what the test put into `seam`, and counts.
 */
#ifndef MTLS_TESTS_MODULE_SEAM_H
#define MTLS_TESTS_MODULE_SEAM_H

#include <stdatomic.h>
#include <stdbool.h>

#include "tests/unit/module_keys.h"

#define SEAM_KEYS_MAX 32u
#define SEAM_CONTENT_MAX (300u * 1024u)

struct seam {
    struct mtls_agent_key keys[SEAM_KEYS_MAX]; /* what the agent has now */
    size_t key_count;

    int list_code; /* enum mtls_agent_code of the answers */
    int subscribe_code;
    int sign_code;
    int unlock_code;

    atomic_uint lists;
    atomic_uint subscriptions;
    atomic_uint signs;
    atomic_uint unlocks;

    /* the last signature */
    enum mtls_agent_kind kind;
    uint16_t scheme;
    size_t content_len;
    uint8_t content[SEAM_CONTENT_MAX];

    /* the last unlock */
    char token[1025];
    char pin[512];

    void (*at_list)(void);        /* called while the agent is asked; NULL: nothing */
    void (*at_events_free)(void); /* called when the subscription is gone, before the return */
};
extern struct seam seam;

/** seam_reset() - all keys of module_keys, all answers good, all counts 0. */
void seam_reset(void);

/** seam_publish() - an event for the subscription, if there is one. */
void seam_publish(void);

/** seam_hang_up() - the subscription ends. */
void seam_hang_up(void);

/** seam_take_keys() - a list as mtls_agent_list() gives one: count and keys are copied. */
struct mtls_agent_keys *seam_take_keys(const struct mtls_agent_key *keys, size_t count);

#endif
