/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking a configured PIN source: runs ask-pin, whose output is a pipe that ends in a worker. The
 * PIN passes by this process; it never comes into it.
 */
#ifndef MTLS_AGENT_PIN_SOURCE_H
#define MTLS_AGENT_PIN_SOURCE_H

#include <systemd/sd-event.h>

#include "agent/config.h"

struct pin_source;

/**
 * pin_source_start() - run the source once
 * @token:      whose `pin =` is asked; not CONFIG_PIN_ASK; borrowed for the call
 * @ret_fd:     filled: read end for the worker; owned by the caller
 *
 * Return: 0, or -errno.
 */
int pin_source_start(sd_event *event, const struct config_token *token,
                     struct pin_source **ret_source, int *ret_fd) _must_check_;

/** pin_source_free() - end it if it still runs. Return: NULL. */
struct pin_source *pin_source_free(struct pin_source *source);

/** pin_source_text() - what it said about its failure; "" when nothing. Borrowed. */
const char *pin_source_text(struct pin_source *source);

/** pin_source_name() - "file", "command", "credential": for messages. */
const char *pin_source_name(const struct config_token *token);

DEFINE_CLEANUP(struct pin_source *, pin_source, pin_source_free)

#endif
