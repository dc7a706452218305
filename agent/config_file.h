/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the configuration's files and drop-ins into a struct config, line by line. Every problem
 * is reported with file and line, and the reading goes on, so that one run tells them all.
 */
#ifndef MTLS_AGENT_CONFIG_FILE_H
#define MTLS_AGENT_CONFIG_FILE_H

#include "agent/config.h"

/**
 * config_file_read_all() - all files that are to be read
 * @file:       this one alone; NULL: the system's and the user's, each with its drop-ins
 * @report:     called for every problem found
 * @has_problem: set when there was one
 *
 * Return: 0, or -errno.
 */
int config_file_read_all(struct config *config, const char *file, config_report_fn report,
                         void *userdata, bool *has_problem) _must_check_;

#endif
