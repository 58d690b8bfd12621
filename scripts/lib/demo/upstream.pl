# upstream.pl: answers /stock/N; 503 for each 25th. Three worker processes that were forked in advance.
# It knows nothing of tracing.
use strict;
use warnings;
use IO::Socket::INET;

my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', LocalPort => 0) or die "listen: $!";
my $parent = $$;
my %workers;

sub serve
{
	my $client = shift;
	my ($number) = (<$client> // '') =~ m{^GET /stock/(\d+) } or return;
	while (my $line = <$client>) {
		last if $line =~ /^\r?$/;
	}
	select undef, undef, undef, 0.001 + 0.001 * ($number % 4);
	my $status = $number % 25 ? '200 OK' : '503 Service Unavailable';
	my $body = $number % 7 . "\n";
	print $client "HTTP/1.1 $status\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body";
}

sub work
{
	$SIG{TERM} = 'DEFAULT';
	while (getppid == $parent) {
		my $client = $listener->accept or next;
		serve($client);
		close $client;
	}
	exit 0;
}

$SIG{TERM} = sub { kill 'TERM', keys %workers; exit 0 };
$SIG{PIPE} = 'IGNORE';
for (1 .. 3) {
	my $pid = fork // die "fork: $!";
	work() unless $pid;
	$workers{$pid} = 1;
}
$| = 1;
printf "port %d\n", $listener->sockport;
wait;
kill 'TERM', keys %workers;
