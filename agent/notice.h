/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person at a desktop should know now: notes on a board, each for one reason, shown over
 * org.freedesktop.Notifications on the user's session bus for as long as the reason lasts. A note
 * is replaced when its words change, and taken down when its reason is gone. Nothing here waits;
 * without a session bus the board is there and nobody sees it.
 */
#ifndef MTLS_AGENT_NOTICE_H
#define MTLS_AGENT_NOTICE_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"

#define NOTICE_COUNT_MAX 64u /* more at the same time are not shown */
#define NOTICE_KEY_MAX 512u

struct notice_board;

/** notice_board_new() - Return: 0, or -errno. */
int notice_board_new(sd_event *event, struct notice_board **ret_board) _must_check_;

/** notice_board_free() - takes down what is shown. NULL is fine. Return: NULL. */
struct notice_board *notice_board_free(struct notice_board *board);

/**
 * notice_board_enable() - `[agent] notify`: whether anybody is shown anything
 * @board:      NULL: nothing happens
 *
 * Notes stay on the board, and are shown once it is enabled again.
 */
void notice_board_enable(struct notice_board *board, bool enabled);

/**
 * notice_show() - a reason to tell somebody something, or new words for it
 * @key:        names the reason; up to NOTICE_KEY_MAX bytes
 * @summary:    one line
 * @body:       sentences; markup in it is shown as it stands
 *
 * All are copied, and are to be escaped for a person's eyes (common/escape.h). What a person has
 * put away is not shown again until its reason has ended.
 * Return: 0, or -ENOMEM or -ENOSPC, when it is not noted.
 */
int notice_show(struct notice_board *board, const char *key, const char *summary,
                const char *body) _must_check_;

/** notice_close() - the reason is gone. False when there was none. */
bool notice_close(struct notice_board *board, const char *key);

/** notice_can_show() - somebody is there to look: a desktop's notifications are at work. */
bool notice_can_show(const struct notice_board *board);

#endif
