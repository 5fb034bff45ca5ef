package broker

import (
	"net/netip"
	"slices"
	"strings"
)

// reach is how far away an address or a name is.
type reach int

const (
	never   reach = iota // special ranges and cloud metadata: under no grant
	private              // loopback and private ranges: under a grant that says so
	public
)

func prefixes(list string) (out []netip.Prefix) {
	for _, p := range strings.Fields(list) {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// The special-purpose registries of IANA, and the cloud metadata services that live
// outside of them or inside ranges that a private grant opens.
var (
	metadata = prefixes("168.63.129.16/32 100.100.100.200/32 fd00:ec2::/32 fd20:ce::/32 fd00:42::42/128")

	privateRanges = prefixes("10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 172.16.0.0/12 192.168.0.0/16 ::1/128 fc00::/7")

	special4 = prefixes("0.0.0.0/8 169.254.0.0/16 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 " +
		"198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4")

	// Inside the only unicast range in use; 2001::/23 holds Teredo, benchmarking and ORCHID, 2002::/16 is 6to4.
	global6  = netip.MustParsePrefix("2000::/3")
	special6 = prefixes("2001::/23 2001:db8::/32 2002::/16 3fff::/20")
	nat64    = netip.MustParsePrefix("64:ff9b::/96")
)

func in(a netip.Addr, list []netip.Prefix) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// reachOf classifies the address that a connection would go to.
func reachOf(a netip.Addr) reach {
	a = a.Unmap()
	switch {
	case !a.IsValid() || a.Zone() != "" || in(a, metadata):
		return never
	case in(a, privateRanges):
		return private
	case a.Is4():
		if in(a, special4) {
			return never
		}
		return public
	}
	b := a.As16()
	inner := reachOf(netip.AddrFrom4([4]byte(b[12:])))
	isatap := b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
	if nat64.Contains(a) || isatap && global6.Contains(a) && !in(a, special6) {
		if inner != public { // an address inside an address is no way to a private one
			return never
		}
		return public
	}
	if !global6.Contains(a) || in(a, special6) {
		return never
	}
	return public
}

// Names that are never public, whatever they resolve to, and those of metadata services.
var (
	localSuffixes = []string{".localhost", ".localdomain", ".local", ".internal"}
	metadataNames = []string{
		"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
	}
)

// reachOfName classifies a canonical host name before it is resolved. A name of one label
// is resolved through search domains, so it is somewhere near.
func reachOfName(name string) reach {
	switch {
	case slices.Contains(metadataNames, name):
		return never
	case !strings.Contains(name, "."):
		return private
	case slices.ContainsFunc(localSuffixes, func(s string) bool { return strings.HasSuffix(name, s) }):
		return private
	}
	return public
}

// open reports whether a grant with or without private may go that far.
func (r reach) open(privateToo bool) bool { return r == public || privateToo && r == private }
