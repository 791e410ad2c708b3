/**
 * Address prefixes as people write them, and as the data plane takes them.
 *
 * Strict on purpose: the lax forms that C's inet_aton takes ("10.1", "0x7f.1", "010.0.0.1") are refused,
 * because two readers disagree about what they mean.
 */
import { isIPv4, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Canonical "ADDRESS/LENGTH": host bits cleared, IPv6 as RFC 5952 has it. */
export type Prefix = string;

/** Length of the prefix that holds the IPv4-mapped addresses, ::ffff:0:0/96. */
const MAPPED_LENGTH = 96;

/**
 * Reads "10.0.0.0/8", "fd00::/8", or a plain address (a prefix of full length).
 * IPv4-mapped prefixes become IPv4 ones. Undefined when it is none of these.
 */
export function parsePrefix(text: string): Prefix | undefined {
  const [address = '', length, ...rest] = text.split('/');
  if (rest.length > 0) return undefined;
  if (length !== undefined && !/^(0|[1-9][0-9]{0,2})$/.test(length)) return undefined;
  if (isIPv4(address)) return prefixOf(ipaddr.IPv4.parse(address).toByteArray(), length);
  if (!isIPv6(address) || address.includes('%')) return undefined;
  const parsed = ipaddr.IPv6.parse(address);
  const bits = length === undefined ? 128 : Number(length);
  if (parsed.isIPv4MappedAddress() && bits >= MAPPED_LENGTH && bits <= 128) {
    return prefixOf(parsed.toIPv4Address().toByteArray(), String(bits - MAPPED_LENGTH));
  }
  return prefixOf(parsed.toByteArray(), length);
}

/** Whether all of `inner` is in `outer`. */
export function holds(outer: Prefix, inner: Prefix): boolean {
  const [address = '', length = ''] = inner.split('/');
  const outerLength = outer.split('/')[1] ?? '';
  if (Number(length) < Number(outerLength)) return false;
  return parsePrefix(`${address}/${outerLength}`) === outer;
}

function prefixOf(bytes: number[], length: string | undefined): Prefix | undefined {
  const width = bytes.length * 8;
  const bits = length === undefined ? width : Number(length);
  if (bits > width) return undefined;
  const masked = bytes.map((byte, index) => {
    const kept = Math.min(8, Math.max(0, bits - index * 8));
    return byte & (0xff << (8 - kept)) & 0xff;
  });
  const address = ipaddr.fromByteArray(masked);
  const text = address instanceof ipaddr.IPv6 ? address.toRFC5952String() : address.toString();
  return `${text}/${bits}`;
}
