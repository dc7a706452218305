/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PINs for single signatures: keys that want theirs for each (CKA_ALWAYS_AUTHENTICATE). From the
 * token's source, from a person who is asked each time, or, where the key's section allows it, the
 * one that is kept. A request that waits for its PIN is in no queue and holds up nobody.
 */
#ifndef MTLS_AGENT_MODULE_CONTEXT_H
#define MTLS_AGENT_MODULE_CONTEXT_H

#include "agent/module.h"
#include "agent/sign_request.h"
#include "common/worker_protocol.h"

/* What module_context_start() found. */
enum module_context {
    MODULE_CONTEXT_READY, /* the PIN comes through *ret_fd */
    MODULE_CONTEXT_WAITS, /* for its PIN: the request comes back into the queue later */
    MODULE_CONTEXT_FAILED,
};

/**
 * module_context_start() - get the PIN for a request that was taken from the queue
 * @ret_fd:     filled when it is READY: read end for the worker; owned by the caller; left alone
 *              when the PIN is typed at the reader
 * @ret_code:   filled when it FAILED: what to answer with
 * @ret_text:   likewise; valid until the next call
 */
enum module_context module_context_start(struct module *module, const struct worker_token *token,
                                         struct sign_request *request, int *ret_fd,
                                         enum protocol_error_code *ret_code, const char **ret_text);

/** module_context_end() - the request is answered or cancelled: its dialog closes, the next one's
 * may open. Fine for a request that has none. */
void module_context_end(struct sign_request *request);

/** module_context_note() - what the token said to a PIN for a signature. */
void module_context_note(struct module *module, const struct worker_token *token,
                         struct sign_request *request, const struct worker_reply *reply);

/** module_context_text() - why a worker made no signature: a source that gave no PIN knows better.
 * Return: @text, escaped. */
const char *module_context_text(struct sign_request *request, const struct worker_reply *reply,
                                char text[static PROTOCOL_TEXT_MAX]);

/** module_context_drop() - the request goes elsewhere: the PIN that was got for it is not for
 * there. */
void module_context_drop(struct sign_request *request);

/** module_context_stop_sources() - requests that wait for a source go back into the queue. */
void module_context_stop_sources(struct module *module);

/** module_context_flush() - answer every request that waits for a person. */
void module_context_flush(struct module *module, enum protocol_error_code code, const char *text);

#endif
