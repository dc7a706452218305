/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a person yes or no, at the terminal and nowhere else. */
#ifndef MTLS_CLI_QUESTION_H
#define MTLS_CLI_QUESTION_H

#include <stdbool.h>

#include "common/cleanup.h"

/**
 * question_ask() - show a question and wait for the answer
 * @format:     without "[y/N]"; escaped as a whole
 *
 * Return: true for y or yes; false for anything else, and without a terminal.
 */
bool question_ask(const char *format, ...) _must_check_ _printf_(1, 2);

#endif
