# Client (libcurl) and server in one process. Those that fill a connection's memory to the last byte count the header.
source=libmicrohttpd
packages="gcc make pkg-config libcurl4-gnutls-dev libgnutls28-dev"
jobs=1	# they share ports
seconds=60

prepare()
{
	./configure --disable-doc --disable-examples --disable-static
	make -j 2
	make check TESTS=
}

list()
{
	for test in src/*/test_*; do
		[ ! -f "$test" ] || [ ! -x "$test" ] || printf '%s\tenv -C %s ./%s\n' "${test##*/}" "${test%/*}" "${test##*/}"
	done
}
