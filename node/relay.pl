# Connects standard input and output to the unix socket that is named.
use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;

sub pass {
    my ($from, $to) = @_;
    my $n = sysread($from, my $data, 65536);
    return 0 unless $n;
    for (my $at = 0; $at < $n;) {
        my $wrote = syswrite($to, $data, $n - $at, $at);
        return 0 unless defined $wrote;
        $at += $wrote;
    }
    return 1;
}

my $socket = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "$ARGV[0]: $!\n";
my $both = IO::Select->new(\*STDIN, $socket);
while (1) {
    for my $from ($both->can_read) {
        exit 0 unless pass($from, $from == $socket ? \*STDOUT : $socket);
    }
}
