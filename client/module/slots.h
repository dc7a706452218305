/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slots: one for each token of the agent, a further one for the Ed25519 keys of a token that
 * has any, and always an empty one at the end. Programs know a slot by its number for as long as
 * they run, so a slot stays, empty, when its token goes, and belongs to that token alone. Many
 * programs list the slots once: the empty one is where they see the next token come in.
 *
 * Why Ed25519 keys lie apart: libp11 0.4.12 and 0.4.13, OpenSSL's engine, finds no key at all on a
 * slot where it sees one of them.
 */
#ifndef MTLS_MODULE_SLOTS_H
#define MTLS_MODULE_SLOTS_H

#include "client/module/content.h"

#define SLOTS_MAX 4096u

struct slot {
    char *label; /* of its token; NULL: no token was ever in it */
    char *serial;
    char *module; /* of the agent, by its name in the configuration */
    bool is_edwards;
    bool is_present;
    bool is_locked;    /* some key of the token waits for a PIN */
    bool has_event;    /* for C_WaitForSlotEvent: came, went, or other objects */
    bool is_logged_in; /* the program called C_Login */
    struct content content;

    /* while slots_update() works */
    struct content fresh;
    bool fresh_is_present;
    bool fresh_is_locked;
    bool fresh_is_same;
};

/* A slot's number is its place. */
struct slots {
    struct slot **items;
    size_t count;
    CK_OBJECT_HANDLE next_handle;
    struct mtls_agent_keys *keys; /* what all contents are made from; NULL: none was ever there */
};

/** slots_init() - the empty slot alone. Return: 0, or -ENOMEM. */
int slots_init(struct slots *slots) _must_check_;
void slots_deinit(struct slots *slots);

/**
 * slots_update() - what the agent has now
 * @keys:       taken, also on failure
 * @is_first:   the program looks for the first time: what it finds is no event
 *
 * Return: 0; -ENOMEM, then everything is as it was.
 */
int slots_update(struct slots *slots, struct mtls_agent_keys *keys, bool is_first) _must_check_;

/** slots_get() - NULL when there is no such slot. */
struct slot *slots_get(const struct slots *slots, CK_SLOT_ID slot_id);

/** slots_take_event() - the number of a slot with an event, which is then over. Return: false:
 * none.
 */
bool slots_take_event(struct slots *slots, CK_SLOT_ID *ret_slot_id);

void slot_fill_info(const struct slot *slot, CK_SLOT_INFO *info);

/** slot_fill_token_info() - @slot must have its token in it. */
void slot_fill_token_info(const struct slot *slot, CK_ULONG session_count, CK_TOKEN_INFO *info);

#endif
