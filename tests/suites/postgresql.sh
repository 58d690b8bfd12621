# PostgreSQL's regression and isolation tests with servers of their own, and tests of its clients and libpq that are in Perl.
# Everything they start is preloaded: the clients ask, with all that psql and libpq have; the server is left alone, and must not
# notice. Debian's programs are tested: of the source only the tests are built.
source=postgresql-15
packages="postgresql-15 postgresql-client-15 postgresql-server-dev-15 libpq-dev libipc-run-perl perl gcc openssl"
seconds=600
lib=/usr/lib/postgresql/15/lib
tests=$lib/pgxs/src/test

prepare()
{
	build()
	{
		gcc -O1 -I/usr/include/postgresql -I/usr/include/postgresql/15/server -I/usr/include/postgresql/internal -o "$@"
	}
	mkdir bin
	build src/test/regress/regress.so -fPIC -shared src/test/regress/regress.c
	cp $lib/refint.so $lib/autoinc.so src/test/regress
	for program in src/test/modules/libpq_pipeline/libpq_pipeline src/interfaces/libpq/test/libpq_testclient \
		src/interfaces/libpq/test/libpq_uri_regress; do
		build bin/${program##*/} $program.c -lpq -L$lib -lpgcommon -lpgport
	done
	# What a run leaves behind would make the next one fail.
	cat >tap <<-EOF
		export TESTDIR="$PWD/tap.d/\${2##*/}" PG_REGRESS=$tests/regress/pg_regress with_ssl=openssl with_readline=yes
		export PATH="$PWD/bin:$lib/../bin:\$PATH"
		rm -rf "\$TESTDIR"
		mkdir -p "\$TESTDIR"
		cd "\$1"
		exec prove -I "$PWD/src/test/perl" -I . "\$2"
	EOF
}

# NAME<tab>VERDICT of "     char      ... ok    38 ms" and "test simple-write-skew    ... FAILED    64 ms". They depend on each
# other, so each schedule is run as a whole.
together()
{
	for what in regress/pg_regress:parallel_schedule isolation/pg_isolation_regress:isolation_schedule; do
		program=${what%:*} folder=${what%/*}
		rm -rf server
		(cd src/test/$folder && $tests/$program --temp-instance="$OLDPWD/server" --bindir=$lib/../bin --inputdir=. --outputdir=. \
			--dlpath=. --schedule=${what#*:}) |
			sed -n "s/^\(test\|    \) \([^ ]*\) *\.\.\. \([^ ]*\) .*/$folder \2\t\3/p"
	done
}

list()
{
	for folder in src/interfaces/libpq src/test/modules/libpq_pipeline src/test/authentication src/test/ssl src/bin/psql src/bin/pgbench \
		src/bin/scripts src/bin/pg_dump src/bin/pg_basebackup; do
		for file in $folder/t/*.pl; do
			printf '%s\tsh tap %s t/%s\n' "${file#src/}" $folder "${file##*/}"
		done
	done
}
