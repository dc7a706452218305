# SPDX-License-Identifier: Apache-2.0
# bash completion for mtls(1). Keys and tokens are asked for at the agent; without one that answers at
# once there are none.

_mtls_keys() {
    timeout 2 mtls list --json 2>/dev/null | sed -n 's/^    "name": "\([^"\\]*\)",$/\1/p'
}

_mtls_tokens() {
    timeout 2 mtls status --json 2>/dev/null | sed -n 's/^      "label": "\([^"\\]*\)",$/\1/p'
}

# Options of the command $1, and those of mtls itself for "".
_mtls_options() {
    case $1 in
    '') echo --version --help ;;
    list) echo --json --watch --help ;;
    status) echo --json --help ;;
    cert | key-ref) echo --output --force --help ;;
    run) echo --key --help ;;
    env) echo --key --unset --help ;;
    setup) echo --key --write --dry-run --undo --profile --allow-digest --yes --json --help ;;
    test) echo --all --json --help ;;
    pin) echo --stdin --help ;;
    unlock) echo --stdin --ask --help ;;
    lock | check-config) echo --help ;;
    esac
}

# The lines of stdin that begin with the current word, as words for the shell.
_mtls_reply_lines() {
    local line
    while IFS= read -r line; do
        [[ $line == "$cur"* ]] && COMPREPLY+=("$(printf '%q' "$line")")
    done
}

_mtls_reply_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}

_mtls_reply_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$cur")
}

# For run: where the other command begins in COMP_WORDS; 0 when it has not begun yet.
_mtls_command_at() {
    local i
    for ((i = 2; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --) echo $((i + 1)) && return ;;
        -k | --key)
            [[ ${COMP_WORDS[i + 1]} != '=' ]] || ((i++))
            ((i++))
            ;;
        -*) ;;
        *) echo "$i" && return ;;
        esac
    done
    echo 0
}

_mtls() {
    local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' at
    local commands='list status cert key-ref run env setup test unlock lock pin check-config help'
    COMPREPLY=()
    ((COMP_CWORD > 1)) && command=${COMP_WORDS[1]}
    # bash makes three words of --key=VALUE
    if [[ $cur == '=' ]]; then
        cur=''
    elif [[ $previous == '=' ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi

    if [[ $command == run ]]; then
        at=$(_mtls_command_at)
        if ((at > 0 && at < COMP_CWORD)); then
            _mtls_reply_files
            return
        elif ((at == COMP_CWORD)); then
            mapfile -t COMPREPLY < <(compgen -c -- "$cur")
            return
        fi
    fi
    case $previous in
    -k | --key)
        _mtls_reply_lines < <(_mtls_keys)
        return
        ;;
    --profile)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
    -o | --output)
        _mtls_reply_files
        return
        ;;
    esac
    if [[ $cur == -* ]]; then
        _mtls_reply_words "$(_mtls_options "$command")"
        return
    fi
    case $command in
    '' | help) _mtls_reply_words "$commands" ;;
    list | cert | key-ref | test) _mtls_reply_lines < <(_mtls_keys) ;;
    setup) _mtls_reply_words 'browser java ssh git curl nginx python openssl gnutls' ;;
    unlock | lock) _mtls_reply_lines < <(_mtls_tokens) ;;
    run) mapfile -t COMPREPLY < <(compgen -c -- "$cur") ;;
    check-config) _mtls_reply_files ;;
    esac
}

complete -F _mtls mtls
