/* SPDX-License-Identifier: Apache-2.0 */
/* -o FILE; see output_file.h. */
#include "client/cli/output_file.h"

#include <string.h>

#include "client/cli/new_file.h"

int output_file_write(const char *path, const struct wire_writer *text, mode_t mode, bool replace)
{
    if (!path)
        return cli_print(text);
    if (text->failed)
        return cli_fail_errno(path, ENOMEM);
    int r = new_file_write(path, text->data, text->len, mode, replace);
    if (r == NEW_FILE_E_EXISTS)
        return cli_fail(CLI_FAILURE,
                        "%s is there already. Choose another name, or give --force to "
                        "replace it",
                        path);
    if (r == NEW_FILE_E_NOT_REGULAR)
        return cli_fail(CLI_FAILURE, "%s is no regular file and is left alone. Choose another name",
                        path);
    if (r)
        return cli_fail(CLI_FAILURE, "cannot write %s: %s. Choose another file", path,
                        strerror(-r));
    return CLI_OK;
}
