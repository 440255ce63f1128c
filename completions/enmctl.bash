# bash completion of enmctl; made by: python -m enmctl.cli.documentation
_enmctl_devices() {
    # the names come from boards and servers: none of them is ever read as code
    local word before=""
    if [[ $COMP_WORDBREAKS == *:* && $1 == *:* ]]; then before=${1%"${1##*:}"}; fi
    while IFS= read -r word; do
        printf -v word '%q' "$word"
        if [[ $word == "$1"* ]]; then COMPREPLY+=("${word#"$before"}"); fi
    done < <(enmctl completion devices 2>/dev/null)
}
_enmctl() {
    local current="" path="" pending="" word
    local -a words=()
    local -i place count=0 arguments=0
    COMPREPLY=()
    for ((place = 1; place <= COMP_CWORD; place++)); do
        word=${COMP_WORDS[place]}
        # bash takes an address to pieces at its colons
        if ((count)) && [[ $word == :* || (-n $word && ${words[count-1]} == *:) ]]; then
            words[count-1]+=$word
        else
            words[count++]=$word
        fi
    done
    current=${words[count-1]}
    for word in "${words[@]:0:count-1}"; do
        if [[ $word == "=" ]]; then continue; fi
        if [[ $pending ]]; then pending=""; continue; fi
        case "$path:$word" in
            '':run|'':status|'':pause|'':resume|'':doctor|'':hotspot|'':plan|'':rollback|'':fleet|'':scan|'':provision|'':flash|'':restart|'':identify|'':inspect|'':devices|'':history|'':logs|'':demo|'':simulator|'':completion) path="${path:+$path }$word" ;;
            'hotspot':up|'hotspot':down|'hotspot':status) path="${path:+$path }$word" ;;
            'fleet':check|'fleet':init) path="${path:+$path }$word" ;;
            'devices':list|'devices':show|'devices':delete|'devices':release) path="${path:+$path }$word" ;;
            'run':--fleet) pending=$word ;;
            'pause':--for) pending=$word ;;
            'plan':--fleet|'plan':--timeout) pending=$word ;;
            'rollback':--application) pending=$word ;;
            'fleet init':--timeout) pending=$word ;;
            'scan':--timeout|'scan':--count|'scan':--board) pending=$word ;;
            'provision':--timeout) pending=$word ;;
            'flash':--board|'flash':--user|'flash':--path|'flash':--max-size|'flash':--timeout) pending=$word ;;
            'restart':--user|'restart':--timeout) pending=$word ;;
            'identify':--user|'identify':--timeout) pending=$word ;;
            'history':--limit) pending=$word ;;
            'logs':--limit) pending=$word ;;
            'demo':--boards) pending=$word ;;
            'simulator':--boards|'simulator':--control-port|'simulator':--api-port|'simulator':--folder|'simulator':--devices) pending=$word ;;
            *:-*) ;;
            *) arguments+=1 ;;
        esac
    done
    if [[ $current == "=" ]]; then current=""; fi
    if [[ $pending ]]; then
        case "$path:$pending" in
            'run':--fleet) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
            'plan':--fleet) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
            'simulator':--folder) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        esac
        return
    fi
    if [[ $current == -* ]]; then
        local options
        case "$path" in
            '') options='--json --quiet --verbose --simulate --version --help' ;;
            'run') options='--once --fleet --json --quiet --verbose --simulate --help' ;;
            'status') options='--json --quiet --verbose --simulate --help' ;;
            'pause') options='--for --json --quiet --verbose --simulate --help' ;;
            'resume') options='--json --quiet --verbose --simulate --help' ;;
            'doctor') options='--json --quiet --verbose --simulate --help' ;;
            'hotspot') options='--json --quiet --verbose --simulate --help' ;;
            'hotspot up') options='--keep --json --quiet --verbose --simulate --help' ;;
            'hotspot down') options='--json --quiet --verbose --simulate --help' ;;
            'hotspot status') options='--json --quiet --verbose --simulate --help' ;;
            'plan') options='--fleet --timeout --json --quiet --verbose --simulate --help' ;;
            'rollback') options='--application --clear --json --quiet --verbose --simulate --help' ;;
            'fleet') options='--json --quiet --verbose --simulate --help' ;;
            'fleet check') options='--json --quiet --verbose --simulate --help' ;;
            'fleet init') options='--timeout --json --quiet --verbose --simulate --help' ;;
            'scan') options='--timeout --count --board --watch --json --quiet --verbose --simulate --help' ;;
            'provision') options='--timeout --json --quiet --verbose --simulate --help' ;;
            'flash') options='--hold --all --dry-run --full --no-resume --allow-system --board --user --path --max-size --timeout --json --quiet --verbose --simulate --help' ;;
            'restart') options='--user --timeout --json --quiet --verbose --simulate --help' ;;
            'identify') options='--user --timeout --json --quiet --verbose --simulate --help' ;;
            'inspect') options='--json --quiet --verbose --simulate --help' ;;
            'devices') options='--json --quiet --verbose --simulate --help' ;;
            'devices list') options='--json --quiet --verbose --simulate --help' ;;
            'devices show') options='--json --quiet --verbose --simulate --help' ;;
            'devices delete') options='--local --json --quiet --verbose --simulate --help' ;;
            'devices release') options='--json --quiet --verbose --simulate --help' ;;
            'history') options='--limit --json --quiet --verbose --simulate --help' ;;
            'logs') options='--follow --limit --json --quiet --verbose --simulate --help' ;;
            'demo') options='--boards --json --quiet --verbose --simulate --help' ;;
            'simulator') options='--boards --control-port --api-port --folder --devices --no-bluetooth --json --quiet --verbose --simulate --help' ;;
            'completion') options='--json --quiet --verbose --simulate --help' ;;
        esac
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
        return
    fi
    case "$path:$arguments" in
        'rollback':0) _enmctl_devices "$current" ;;
        'fleet check':0) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        'fleet init':0) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        'provision':*) _enmctl_devices "$current" ;;
        'flash':0) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        'flash':*) _enmctl_devices "$current" ;;
        'restart':*) _enmctl_devices "$current" ;;
        'identify':*) _enmctl_devices "$current" ;;
        'inspect':0) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        'devices show':0) _enmctl_devices "$current" ;;
        'devices delete':0) _enmctl_devices "$current" ;;
        'devices release':0) _enmctl_devices "$current" ;;
        'history':0) _enmctl_devices "$current" ;;
        'logs':0) _enmctl_devices "$current" ;;
        'completion':0) mapfile -t COMPREPLY < <(compgen -W 'bash zsh fish devices' -- "$current") ;;
        '':0) mapfile -t COMPREPLY < <(compgen -W 'run status pause resume doctor hotspot plan rollback fleet scan provision flash restart identify inspect devices history logs demo simulator completion' -- "$current") ;;
        'hotspot':0) mapfile -t COMPREPLY < <(compgen -W 'up down status' -- "$current") ;;
        'fleet':0) mapfile -t COMPREPLY < <(compgen -W 'check init' -- "$current") ;;
        'devices':0) mapfile -t COMPREPLY < <(compgen -W 'list show delete release' -- "$current") ;;
    esac
}
complete -F _enmctl enmctl
