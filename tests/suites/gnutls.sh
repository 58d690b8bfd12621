# The programs and scripts of `make check`; those that talk to other TLS libraries are not in the source.
source=gnutls28
packages="gcc g++ make pkg-config nettle-dev libtasn1-6-dev libidn2-dev libunistring-dev libp11-kit-dev libcmocka-dev
	softhsm2 datefudge net-tools openssl"
folders="tests tests/cert-tests tests/slow"
jobs=4	# they wait for each other more than they compute
seconds=300

# What make would have in the environment of a test goes into a file.
prepare()
{
	gcc -shared -fPIC -o awake.so "$here/awake.c"
	./configure --disable-doc --disable-guile --disable-static
	make -j 2
	for folder in $folders; do
		make -C $folder -j 2 check TESTS=
		make -C $folder -f Makefile -f - list <<-'.'
			list: ; $(file >tests,$(TESTS))$(file >environment,export $(TESTS_ENVIRONMENT))
		.
	done
}

list()
{
	for folder in $folders; do
		for test in $(tr ' ' '\n' <$folder/tests | sort -u); do
			case $test in *.sh) shell=bash ;; *) shell= ;; esac
			printf '%s/%s\tenv -C %s bash -c ". ./environment; exec %s ./%s"\n' $folder "$test" $folder "$shell" "$test"
		done
	done
}
