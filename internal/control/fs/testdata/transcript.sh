# Tells what the control tree $1 does, the same for the kernel's and for ours.
# Policies are in /blobs.
cd "$1" || exit

say() { echo "$ $*"; }

# get shows a file, in brackets as no content ends with a newline.
get() { say "get $1"; printf '['; cat "$1" 2>&1; echo "] $?"; }

# put is one write of a file's content, whose errno cat tells.
put() { say "put $1 to $2"; cat "/blobs/$1" 2>&1 >"$2"; echo "= $?"; }

# set_ is one write of a word.
set_() {
	say "set $2 to $1"
	printf '%s' "$1" >/tmp/word
	cat /tmp/word 2>&1 >"$2"
	echo "= $?"
}

# run is any other command.
run() { say "$*"; "$@" 2>&1; echo "= $?"; }

tree() { find . -printf '%p %m %n %s %U:%G %y\n' | sort; }

tree
for f in enforce success_audit; do
	get $f
	for word in 0 1 y n Y N t f T F on off ON oF 1garbage 10 no; do
		set_ $word $f
		get $f
	done
	for word in 2 o ox ' 1' -1 enable; do
		set_ "$word" $f
	done
	for word in 0 1 2; do
		say "echo $word >$f"
		echo $word >$f
		echo "= $?"
		get $f
	done
done
get new_policy
for blob in unsigned tampered stranger long bad-version slash dots; do
	put $blob new_policy
done
tree
put site-1 new_policy
put site-1 new_policy
put site-2 new_policy
tree
cd policies/site || exit
for f in name version policy active update delete; do
	get $f
done
run cmp pkcs7 /blobs/site-1
set_ 1 name
set_ 1 version
set_ 1 policy
set_ 1 pkcs7
set_ 0 active
set_ x active
set_ 0 delete
set_ x delete
set_ 1 active
get active
set_ 1 active
set_ 1 delete
for blob in unsigned tampered stranger long site-1 other-3; do
	put $blob update
done
put site-2 update
get version
get active
cd ../..
put other-1 new_policy
set_ 1 policies/other/active
exec 5<policies/other/version 6>policies/other/active 7>policies/other/update
put other-3 policies/other/update
set_ 1 policies/other/active
get policies/other/active
get policies/site/active
say "descriptors of a deleted policy"
exec 8<policies/site/version 9<>policies/site/active
set_ 1 policies/site/delete
cat <&8 2>&1; echo "= $?"
cat <&9 2>&1; echo "= $?"
cat /tmp/word 2>&1 >&9; echo "= $?"
cat /blobs/unsigned 2>&1 >&9; echo "= $?"
say "descriptors of an updated one"
cat <&5; echo "= $?"
cat /tmp/word 2>&1 >&6; echo "= $?"
cat /blobs/other-3 2>&1 >&7; echo "= $?"
tree
run mkdir x
run mkdir policies/x
run rm -f enforce
run rm -f absent
run mv enforce x
run ln enforce x
run ln -s enforce x
run sh -c 'echo >x'
run sh -c 'echo >policies/gone/active'
say "read after write"
exec 5>&- 6>&- 7>&- 8>&- 9>&-
exec 5<>success_audit
echo 1 >&5
cat <&5; echo "= $?"
