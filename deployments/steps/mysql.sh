# shellcheck shell=sh
# What promote-mysql, fence-mysql and abort-mysql share. They read it from the
# folder that they are in; nobody runs it.
#
# Every statement is one run of the mariadb or mysql client. The account stands in a
# file (--defaults-file), never on a command line, and nothing else is read: neither
# ~/.my.cnf nor /etc/mysql. Each run ends by the step's own end, a little before the
# daemon would kill it, so that there is time to say why.

me=${0##*/}
account='' client='' connect=3 reset='' refuse_writable=''

say() { printf '%s\n' "$*"; }

# fail SENTENCE: undoes what the step provides for in undo, and ends it.
fail() {
	why=$*
	undo
	say "$why$undone"
	exit 1
}
undo() { :; }
undone=''

usage() {
	sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
	exit 64
}

# begin SIDE: checks the options and what the daemon tells; SIDE is FROM or TO, the
# endpoint that the step is about.
begin() {
	started=$(date +%s)
	[ -r "$account" ] || fail "$me cannot read ${account:-the file of its account (--defaults-file)}."
	case $1 in
	FROM) host=${REATTACH_FROM_HOST:-} port=${REATTACH_FROM_PORT:-3306} ;;
	*) host=${REATTACH_TO_HOST:-} port=${REATTACH_TO_PORT:-3306} ;;
	esac
	[ -n "$host" ] || fail "$me was not told REATTACH_$1_HOST: it is run by reattach."
	at="$host:$port"
	allowed=${REATTACH_TIMEOUT_SECONDS:-60}
	allowed=${allowed%%.*}
	for number in "$port" "$allowed" "$connect"; do
		case $number in '' | *[!0-9]*) fail "$me was told \"$number\" where a number belongs." ;; esac
	done
	# What is kept back is for the last sentence, and for starting again what was stopped.
	spare=$((allowed / 5 > 5 ? 5 : allowed / 5 + 1))
	ends=$((started + allowed - spare))
	for program in ${client:-mariadb mysql}; do
		command -v "$program" > /dev/null && client=$program && break
	done
	command -v "${client:-mariadb}" > /dev/null || fail "$me finds no client: install mariadb-client or mysql-client, or say --client PROGRAM."
	# GNU's timeout makes a process group of its own, which the daemon would not kill
	# with ours, unless it is told to stay.
	bound='timeout --foreground'
	$bound 5 true 2> /dev/null || bound=timeout
}

dry() { [ "${REATTACH_DRY_RUN:-false}" = true ]; }

# left is how many seconds the step still has, or may spend on one statement; at
# least one.
patience=''
left() {
	remains=$((ends - $(date +%s)))
	[ -z "$patience" ] || [ "$patience" -ge "$remains" ] || remains=$patience
	[ "$remains" -gt 0 ] || remains=1
	echo "$remains"
}
late() { [ "$(date +%s)" -ge "$ends" ]; }

# query HOST PORT SQL: puts the rows into $answer, their names first, with tabs
# between; false if the client failed, with its last words in $complaint. A server
# that hangs has the client hang, so it is given up in time. (--execute forgets a
# --force that came before it.)
force=''
query() {
	both=$({ {
		$bound -k 1 "$(left)" "$client" --defaults-file="$account" --protocol=tcp --host="$1" --port="$2" \
			--connect-timeout="$connect" --batch --execute="$3" ${force:+--force} 2>&3 3>&-
		echo "$?"
	} | sed 's/^/|/'; } 3>&1)
	complaint=$(say "$both" | grep -v '^|' | tail -n 1)
	answer=$(say "$both" | sed -n 's/^|//p')
	code=$(say "$answer" | tail -n 1)
	answer=$(say "$answer" | sed '$d')
	[ -n "$complaint" ] || [ "$code" != 124 ] || complaint='no answer in time'
	[ "$code" = 0 ]
}

ask() { query "$host" "$port" "$1"; }

# tell SQL: a statement that has to succeed.
tell() { ask "$1" || fail "$at refused \"$1\": $complaint."; }

# cell NAME…: the value in $answer's first row below the first of these names that
# it has.
cell() {
	say "$answer" | awk -F '\t' -v names="$*" '
		NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i }
		NR == 2 {
			n = split(names, name, " ")
			for (k = 1; k <= n; k++) if (name[k] in column) { v = $column[name[k]]; break }
			print v == "NULL" ? "" : v
		}'
}

# look: which server it is, and whether it is writable; false if it cannot be asked.
look() {
	ask 'SELECT VERSION() AS version, @@GLOBAL.read_only AS ro' || return 1
	ro=$(cell ro)
	flavour=MySQL
	case $(cell version) in *MariaDB* | *mariadb*) flavour=MariaDB ;; esac
	writable=no
	case $ro in 0 | OFF) writable=yes ;; esac
}

# replication reads the status of the only replica connection into variables;
# $sources is how many there are. False if it cannot be had.
replication() {
	statement='SHOW REPLICA STATUS'
	[ "$flavour" = MySQL ] || statement='SHOW ALL REPLICAS STATUS'
	sources=0 receives=unknown applies=unknown apply_code=unknown
	ask "$statement" || return 1
	[ -z "$answer" ] || sources=$(($(say "$answer" | wc -l) - 1))
	[ "$sources" -gt 0 ] || return 0
	named=$(cell Connection_name Channel_Name)
	source=$(cell Source_Host Master_Host):$(cell Source_Port Master_Port)
	receives=$(cell Replica_IO_Running Slave_IO_Running)
	applies=$(cell Replica_SQL_Running Slave_SQL_Running)
	receive_code=$(cell Last_IO_Errno) receive_error=$(cell Last_IO_Error)
	apply_code=$(cell Last_SQL_Errno) apply_error=$(cell Last_SQL_Error)
	read_file=$(cell Source_Log_File Master_Log_File)
	read_pos=$(cell Read_Source_Log_Pos Read_Master_Log_Pos)
	done_file=$(cell Relay_Source_Log_File Relay_Master_Log_File)
	done_pos=$(cell Exec_Source_Log_Pos Exec_Master_Log_Pos)
	received=$(gtids Retrieved_Gtid_Set)
	if [ "$flavour" = MariaDB ]; then
		received=$(gtids Gtid_IO_Pos)
		[ "$(cell Using_Gtid)" != No ] || received=''
	fi
}

# gtids NAME: the transactions in that column, fit to stand in a statement; empty
# where they are not.
gtids() {
	set_of=$(cell "$1" | sed 's/\\n//g; s/ //g')
	case $set_of in *[!0-9A-Za-z:,_-]*) set_of='' ;; esac
	say "$set_of"
}

see() { replication || fail "$at does not tell how its replication stands: $complaint."; }

# applied SECONDS: whether all that was received is applied, waiting so long for it:
# by GTIDs, or by positions where there are none.
applied() {
	if [ -z "$received" ]; then
		[ -n "$read_file" ] && [ "$read_file:$read_pos" = "$done_file:$done_pos" ] && return 0
		sleep "$1"
		replication || return 1
		[ -n "$read_file" ] && [ "$read_file:$read_pos" = "$done_file:$done_pos" ]
		return
	fi
	case $flavour:$1 in
	MariaDB:*) ask "SELECT MASTER_GTID_WAIT('$received', $1) = 0 AS yes" ;;
	MySQL:0) ask "SELECT GTID_SUBSET('$received', @@GLOBAL.gtid_executed) AS yes" ;;
	*) ask "SELECT WAIT_FOR_EXECUTED_GTID_SET('$received', $1) = 0 AS yes" ;;
	esac || return 1
	[ "$(cell yes)" = 1 ]
}

# resume starts replication again; false where that would not be safe. MariaDB with
# GTIDs throws away what it received and has not applied, when it starts while both
# of its threads stand still.
resume() {
	replication && [ "$sources" -gt 0 ] || return 1
	[ "$applies" = Yes ] || { [ "${apply_code:-0}" = 0 ] && applied 0; } || return 1
	ask 'START REPLICA'
}

# may "PRIVILEGE|PRIVILEGE": fails if the account has not all of them, by what it
# shows itself. What a role brings is not shown, so with a role nothing is said.
may() {
	ask 'SHOW GRANTS' || return 0
	lacking=$(say "$answer" | awk -v needs="$1" '
		/ ON \*\.\* / { sub(/^GRANT /, ""); sub(/ ON \*\.\* .*/, ""); gsub(/, /, ","); has = has "," $0 }
		NR > 1 && !/ ON / && / TO / { role = 1 }
		END {
			has = has ","
			if (role || index(has, ",ALL PRIVILEGES,")) exit
			n = split(needs, need, "|")
			for (i = 1; i <= n; i++) if (!index(has, "," need[i] ",")) { printf "%s%s", sep, need[i]; sep = ", " }
		}')
	[ -z "$lacking" ] || fail "The account lacks rights on $at: GRANT $lacking ON *.* TO it."
}
