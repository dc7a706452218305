/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a subcommand; see options.h. */
#include "client/cli/options.h"

#include <getopt.h>
#include <string.h>

/* getopt_long() gives this for option number N; above every character. */
#define OPTIONS_VALUE_BASE 256
#define OPTIONS_VALUE_HELP 255

static int options_value(const struct cli_command *command, size_t index)
{
    char letter = command->options[index].letter;

    return letter ? letter : OPTIONS_VALUE_BASE + (int)index;
}

/* getopt's two tables from ours. */
static void options_translate(const struct cli_command *command, struct option *longs, char *shorts)
{
    *shorts++ = command->ends_at_operand ? '+' : ':';
    if (command->ends_at_operand)
        *shorts++ = ':';
    *shorts++ = 'h';
    for (size_t i = 0; i < command->option_count; i++) {
        const struct cli_option *option = &command->options[i];
        longs[i] = (struct option){
            .name = option->name,
            .has_arg = option->argument ? required_argument : no_argument,
            .val = options_value(command, i),
        };
        if (!option->letter)
            continue;
        *shorts++ = option->letter;
        if (option->argument)
            *shorts++ = ':';
    }
    *shorts = '\0';
    longs[command->option_count] = (struct option){.name = "help", .val = OPTIONS_VALUE_HELP};
    longs[command->option_count + 1] = (struct option){0};
}

/* The option that getopt_long() means by @value, or NULL. */
static const char *options_name(const struct cli_command *command, int value)
{
    for (size_t i = 0; i < command->option_count; i++)
        if (options_value(command, i) == value)
            return command->options[i].name;
    return value == OPTIONS_VALUE_HELP ? "help" : NULL;
}

/* optopt: of a letter, the letter; of a long option that is known, its value; else 0. The word is
 * behind us unless the letter has others after it. */
static int options_refuse(const struct cli_command *command, int answer, char **argv)
{
    const char *known = options_name(command, optopt);
    const char *word = optind > 0 ? argv[optind - 1] : "";

    if (answer == ':')
        (void)cli_fail_usage(command, "%s needs a value", word);
    else if (known)
        (void)cli_fail_usage(command, "--%s takes no value", known);
    else if (optopt)
        (void)cli_fail_usage(command, "unknown option -%c", optopt);
    else
        (void)cli_fail_usage(command, "unknown option %s", word);
    return OPTIONS_INVALID;
}

static int options_count_operands(const struct cli_args *args)
{
    const struct cli_command *command = args->command;

    if (args->operand_count < command->operands_min) {
        (void)cli_fail_usage(command, "%s needs %s", command->name, command->operands);
        return OPTIONS_INVALID;
    }
    if (command->operands_max >= 0 && args->operand_count > command->operands_max) {
        (void)cli_fail_usage(command, "%s is one argument too many",
                             args->operands[command->operands_max]);
        return OPTIONS_INVALID;
    }
    return 0;
}

int options_parse(const struct cli_command *command, int argc, char **argv,
                  struct cli_args *ret_args)
{
    struct option longs[CLI_OPTIONS_MAX + 2];
    char shorts[2 * CLI_OPTIONS_MAX + 4];
    struct cli_args args = {.command = command};

    options_translate(command, longs, shorts);
    opterr = 0;
    optind = 0;
    for (;;) {
        int answer = getopt_long(argc, argv, shorts, longs, NULL);
        if (answer < 0)
            break;
        if (answer == 'h' || answer == OPTIONS_VALUE_HELP)
            return OPTIONS_HELP;
        if (answer == '?' || answer == ':')
            return options_refuse(command, answer, argv);
        for (size_t i = 0; i < command->option_count; i++)
            if (options_value(command, i) == answer)
                args.values[i] = optarg ? optarg : "";
    }
    args.operands = argv + optind;
    args.operand_count = argc - optind;
    int r = options_count_operands(&args);
    if (r)
        return r;
    *ret_args = args;
    return 0;
}

static void options_print_one(const struct cli_option *option, FILE *file)
{
    char names[64];
    char letter[8] = "";

    if (option->letter)
        (void)snprintf(letter, sizeof(letter), "-%c, ", option->letter);
    (void)snprintf(names, sizeof(names), "%s--%s%s%s", letter, option->name,
                   option->argument ? " " : "", option->argument ? option->argument : "");
    (void)fprintf(file, "  %-20s %s\n", names, option->help);
}

void options_print_help(const struct cli_command *command, FILE *file)
{
    static const struct cli_option help = {"help", 'h', NULL, "show this help"};

    (void)fprintf(file, "Usage: mtls %s%s%s%s\n\n%s.\n", command->name,
                  command->option_count ? " [OPTIONS]" : "", *command->operands ? " " : "",
                  command->operands, command->summary);
    if (*command->details)
        (void)fprintf(file, "\n%s\n", command->details);
    (void)fprintf(file, "\nOptions:\n");
    for (size_t i = 0; i < command->option_count; i++)
        options_print_one(&command->options[i], file);
    options_print_one(&help, file);
    (void)fprintf(file, "\nSee mtls(1) for all of it.\n");
}
