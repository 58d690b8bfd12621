# Of Ruby what has to do with sockets, descriptors and processes.
source=ruby3.1
packages="ruby ruby-dev"

prepare()
{
	test -f test/runner.rb
}

list()
{
	for test in test/net/*/test_*.rb test/socket/test_*.rb test/drb/test_*.rb test/openssl/test_ssl*.rb test/open-uri/test_*.rb \
		test/io/*/test_*.rb test/ruby/test_io*.rb test/ruby/test_process.rb test/ruby/test_thread*.rb \
		test/ruby/test_signal.rb test/ruby/test_file*.rb test/fiber/test_*.rb test/resolv/test_*.rb test/test_open3.rb \
		test/test_pty.rb test/test_timeout.rb; do
		printf '%s\truby -Itool/lib -Itest/lib test/runner.rb --ruby=ruby -q %s\n' "${test#test/}" "$test"
	done
}
