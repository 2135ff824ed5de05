# Signs policies and administers them on the control tree $1, with nothing but cat,
# echo and openssl; says the same of the kernel's tree and of ours. /keys has the key
# of somebody who is trusted, owner, and of somebody who is not, stranger. Messages are
# numbered in the directory $2. One that is there is not made again: openssl takes most
# of the time in a guest, and the messages do not depend on the tree.
messages=$2 number=0
cd "$1" || exit

say() { echo "$ $*"; }

get() { say "get $1"; echo "[$(cat "$1" 2>&1; echo "] $?")"; }

put() { cat "$1" 2>&1 >"$2"; echo "= $?"; }

# set_ writes a word, with the newline that echo adds.
set_() { say "echo $1 >$2"; echo "$1" >/tmp/word; put /tmp/word "$2"; }

# text makes a policy NAME VERSION, with the rules after them.
text() {
	{
		echo "policy_name=$1 policy_version=$2"
		shift 2
		[ $# = 0 ] && set -- "DEFAULT action=ALLOW"
		for line in "$@"; do echo "$line"; done
	} >/tmp/text
}

# make makes the next message, by a command of openssl with these options.
make() {
	command=$1
	shift
	number=$((number + 1))
	message=$messages/$number
	[ -e "$message" ] || openssl "$command" -out "$message" "$@" || exit
}

# sign makes a message of the text, with options of openssl's command smime or cms.
sign() {
	by=$1 who=$2
	shift 2
	make "$by" -sign -signer "/keys/$who.pem" -inkey "/keys/$who.key" -outform der "$@" -in /tmp/text
}

usual='-binary -nodetach -nosmimecap -noattr'

# new loads NAME VERSION..., signed as usual.
new() { say "load $*"; text "$@"; sign smime owner $usual; put "$message" new_policy; }

# update puts NAME VERSION... in the place of $1.
update() { to=$1; shift; say "update $to by $*"; text "$@"; sign smime owner $usual; put "$message" "policies/$to/update"; }

# odd loads a policy "odd" that is signed in some beta way, and deletes it.
odd() {
	say "load odd, signed: $*"
	text odd 11.0.0
	sign "$@"
	put "$message" new_policy
	forget odd
}

forget() {
	[ -e "policies/$1" ] || return
	get "policies/$1/version"
	set_ 1 "policies/$1/delete"
}

say "life of a policy"
get enforce
set_ 0 success_audit
get success_audit
new acme 11.0.0
get policies/acme/name
get policies/acme/version
get policies/acme/policy
get policies/acme/active
openssl smime -verify -inform der -in policies/acme/pkcs7 -noverify -binary 2>&1
new acme 11.0.0
new acme 2.0.0
set_ 0 policies/acme/active
set_ maybe policies/acme/active
set_ 0 policies/acme/delete
set_ 1 policies/acme/active
get policies/acme/active
set_ 1 policies/acme/active
set_ 1 policies/acme/delete
update acme acme 11.0.0
update acme acme 0.9.9
update acme beta 2.0.0
update acme acme 11.0.1
get policies/acme/version
get policies/acme/active
update acme beta 0.0.1
new beta 11.0.0
get policies/beta/active
set_ 1 policies/beta/active
set_ 1 policies/beta/delete
new beta 0.0.1
set_ 1 policies/beta/delete
new beta 11.0.1
set_ yes policies/beta/active
get policies/beta/active
get policies/acme/active
set_ 1 policies/acme/active
set_ 1 policies/beta/active
set_ on policies/acme/delete
get policies/acme/version
say "modes"
set_ 0 enforce
get enforce
set_ 1 enforce
get enforce
set_ y success_audit
get success_audit
set_ off success_audit
get success_audit
set_ 2 enforce
set_ "" success_audit
say "what is not a message"
echo nothing >/tmp/word
put /tmp/word new_policy
put /tmp/word policies/beta/update
text odd 11.0.0
put /tmp/text new_policy
make smime -encrypt -outform der -in /tmp/text /keys/owner.pem
put "$message" new_policy
make x509 -in /keys/owner.pem -outform der
put "$message" new_policy
say "signatures"
odd smime stranger $usual
odd smime owner -binary -nosmimecap -noattr
odd smime owner -binary -nodetach
odd smime owner -binary -nodetach -nosmimecap
odd smime owner -nodetach -nosmimecap -noattr
odd smime owner -text -nodetach -nosmimecap -noattr
odd smime owner $usual -nocerts
odd smime owner $usual -outform pem
odd smime owner $usual -signer /keys/stranger.pem -inkey /keys/stranger.key
odd smime stranger $usual -signer /keys/owner.pem -inkey /keys/owner.key
odd smime stranger $usual -certfile /keys/owner.pem
for digest in md5 sha256 sha384 sha512 ripemd160; do
	odd smime owner $usual -md $digest
done
odd cms owner $usual
odd cms owner $usual -keyid
odd cms owner -binary -nodetach -nosmimecap -keyid
odd cms owner $usual -econtent_type 1.2.3.4
odd cms owner $usual -keyopt rsa_padding_mode:pss
say "chain"
odd smime officer $usual
odd smime officer $usual -certfile /keys/owner.pem
odd smime officer $usual -nocerts
odd smime clerk $usual
odd smime clerk $usual -certfile /keys/officer.pem
say "texts"
new odd 1.0
new odd 1.0.70000
new odd 1.0.x
new odd 1.0.0 ""
new odd 1.0.0 "DEFAULT action=MAYBE"
new odd 1.0.0 "DEFAULT action=ALLOW" "op=EXECUTE action=DENY" "op=EXECUTE boot_verified=true action=DENY"
new odd 1.0.0 "DEFAULT op=EXECUTE action=DENY"
new "" 11.0.0
new a/b 11.0.0
new . 11.0.0
new .. 11.0.0
long=nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn
long=$long$long$long$long$long$long$long$long
new "$long" 11.0.0
new "${long%n}" 11.0.0
forget "${long%n}"
new "name-of.many_kinds:+1" 1.0.0 "# comment" "DEFAULT action=ALLOW"
forget "name-of.many_kinds:+1"
say "long texts"
line=$long$long$long$long
line=$line$line$line$line$line$line$line$line
text odd 1.0.0 "DEFAULT action=ALLOW" "#$line" "#$line" "#$line" "#$line" "#$line" "#$line" "#$line"
sign smime owner $usual
put "$message" new_policy
forget odd
text odd 1.0.0 "DEFAULT action=ALLOW" "#$line" "#$line" "#$line" "#$line" "#$line" "#$line" "#$line" "#$line"
sign smime owner $usual
put "$message" new_policy
