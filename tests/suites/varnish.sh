# Varnish, and its own HTTP client and server, which check what goes over the wire to the byte.
source=varnish
packages="varnish gcc"

prepare()
{
	test -d bin/varnishtest/tests
}

list()
{
	for test in bin/varnishtest/tests/*.vtc; do
		printf '%s\tvarnishtest -t 60 %s\n' "$(basename "$test" .vtc)" "$test"
	done
}
