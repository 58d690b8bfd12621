# MariaDB's tests of its clients, prepared statements, TLS and protocol, with servers of their own; and those of libmariadb.
# Everything they start is preloaded, the servers too. Debian's programs and its libmariadb are tested: of the source only
# libmariadb's tests are built, but for those of functions that only a static library has.
source=mariadb
packages="mariadb-test mariadb-server mariadb-client libmariadb-dev cmake gcc perl openssl zlib1g-dev libssl-dev libcurl4-openssl-dev"
seconds=900
memory=/dev/shm/otelauto-suites.mariadb	# on a disk most of the time is waiting

prepare()
{
	cmake -S libmariadb -B b	# for its headers
	mkdir bin
	for test in async bulk1 conc336 connection cursor errors features-10_2 fetch logs misc ps ps_bugs ps_new result rpl_api sp thread view; do
		gcc -w -O1 -DLIBMARIADB -Ib/include -Ilibmariadb/include -Ilibmariadb/unittest/mytap -Ilibmariadb/unittest/libmariadb -o bin/$test \
			libmariadb/unittest/libmariadb/$test.c libmariadb/unittest/libmariadb/ma_getopt.c libmariadb/unittest/mytap/tap.c -lmariadb -lpthread
	done
	mariadb-install-db --no-defaults --datadir="$PWD/data" --auth-root-authentication-method=normal
}

# NAME<tab>VERDICT of "ok 7 - test_bind_negative"
libmariadb_tests()
{
	cp -r data $memory
	mariadbd --no-defaults --datadir=$memory/data --socket=$memory/socket --port=23306 --bind-address=127.0.0.1 --local-infile >&2 &
	server=$!
	until mariadb --no-defaults -S $memory/socket -u root -e 'CREATE DATABASE IF NOT EXISTS test'; do
		kill -0 $server
		sleep 0.1
	done
	for test in bin/*; do
		(cd libmariadb/unittest/libmariadb && MARIADB_CC_TEST=1 MYSQL_TEST_HOST=127.0.0.1 MYSQL_TEST_PORT=23306 MYSQL_TEST_USER=root \
			MYSQL_TEST_DB=test MYSQL_TEST_SOCKET=$memory/socket "$OLDPWD/$test" 2>&1 && echo "ended: 0" || echo "ended: $?") |
			sed -n "s/^\(.*ok\) [0-9]* - \([^ ]*\).*/libmariadb $(basename $test) \2\t\1/p; s/^ended: /libmariadb $(basename $test)\tstatus /p"
	done
	kill $server
	wait $server || :
}

# The same of "main.ps_ddl 'innodb'    w1 [ pass ]   1018"
mysql_test_run()
{
	what=$1
	shift
	(cd /usr/share/mysql/mysql-test && perl ./mysql-test-run.pl --vardir=$memory/var --force --max-test-fail=0 --retry=0 --parallel=2 \
		--nowarnings --testcase-timeout=3 "$@") |
		sed -n "s/^\(main\.[^ ]*\( '[^']*'\)*\) .*\[ \([a-z-]*\) \].*/$what\1\t\3/p"
}

together()
{
	rm -rf $memory
	mkdir $memory
	libmariadb_tests
	mysql_test_run "" mysql mysql-metadata mysql_binary_mode mysql_client_test mysql_client_test_nonblock mysql_comments mysql_not_windows \
		mysql_protocols mysqladmin mysqlbinlog mysqlcheck mysqldump mysqldump-max mysqldump-system mysqldump-utf8mb4 mysqldump_restore \
		mysqlshow mysqlslap mysqltest mysqltest_cont_on_error mysqltest_ps client client_xml change_user compress connect connect-abstract \
		connect-no-db connect2 errors get_diagnostics init_connect kill kill-2 loaddata loadxml multi_statement openssl_1 openssl_6975 \
		outfile_loaddata plugin_auth prepare ps ps_10nestset ps_11bugs ps_1general ps_2myisam ps_3innodb ps_ddl ps_ddl1 ps_error ps_grant \
		ps_innodb ps_missed_cmds ps_missed_cmds_bin_prot ps_not_windows ps_show_log ssl ssl_7937 ssl_8k_key ssl_and_innodb ssl_ca ssl_cipher \
		ssl_compress ssl_connect ssl_crl ssl_timeout ssl_verify_ip status timeout user_limits wait_timeout xa
	mysql_test_run "prepared " --ps-protocol func_str func_time group_by join select subselect type_date type_newdecimal union view
	mysql_test_run "cursors " --cursor-protocol func_str join select union
	rm -rf $memory
}
