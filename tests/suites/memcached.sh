source=memcached
packages="gcc make libevent-dev perl"

prepare()
{
	./configure
	make
}

list()
{
	for test in t/*.t; do
		printf '%s\tperl %s\n' "$test" "$test"
	done
	printf 'testapp\t./testapp\n'
}
