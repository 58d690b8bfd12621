source=libwww-perl
packages="perl libwww-perl libhttp-daemon-perl libtest-requiresinternet-perl libtest-needs-perl libtest-fatal-perl"

prepare()
{
	test -d t
}

list()
{
	for test in t/*.t t/*/*.t; do
		printf '%s\tperl -Ilib -It/lib %s\n' "$test" "$test"
	done
}
