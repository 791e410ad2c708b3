/**
 * Programs that take the own address of a connection, as getsockname(2) shows it, and bind other sockets to it. Of an accelerated
 * connection it is the host's, which the container does not have: FTP servers in passive mode, FTP clients, and what a probe tries.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  describeOnLab,
  describeResult,
  eventually,
  HOST1,
  host2,
  listens,
  REMOTE,
  remote,
} from './support/lab.js';
import { NETWORKS } from './support/places.js';
import { type Container, ENABLED, startContainer } from './support/podman.js';
import { publish } from './support/published.js';

const PROBE = readFileSync(new URL('./probes/own_address.py', import.meta.url), 'utf8');

const PORT = 2121;
/** By socat, as by inetd: the program that listens by itself dies of SIGSEGV at a session's end (Debian 13, in any container). */
const vsftpd = (family: 4 | 6) => [
  ...['bash', '-c'],
  `set -e
  install -d /var/run/vsftpd/empty /srv/ftp && seq 100000 >/srv/ftp/numbers
  printf '%s\n' listen=NO seccomp_sandbox=NO anonymous_enable=YES local_enable=NO anon_root=/srv/ftp \
    pasv_min_port=2130 pasv_max_port=2133 connect_from_port_20=YES xferlog_enable=NO >/tmp/vsftpd.conf
  exec socat TCP${family}-LISTEN:${PORT},fork,reuseaddr 'EXEC:vsftpd /tmp/vsftpd.conf,nofork'`,
];
const PUBLISHED = `${PORT}:${PORT} 2130-2133:2130-2133`;

/** Whole and more often than there are passive ports, so that each is used again. */
async function fetches(how: string, address: string, times = 5): Promise<void> {
  const fetch = `${how} ftp://${address}:${PORT}/numbers | sha256sum`;
  const result = await host2.sh(
    `for i in {1..${times}}; do ${fetch}; done | sort -u; seq 100000 | sha256sum`,
  );
  const [seen, expected, ...more] = result.stdout.trim().split('\n');
  expect(more, describeResult([fetch], result)).toEqual([]);
  expect(seen, describeResult([fetch], result)).toBe(expected);
}

describeOnLab("a connection's own address", () => {
  describe.each(NETWORKS)('on %s', (network) => {
    test('is bound to as without acceleration', async () => {
      // pasta's containers have IPv6, and so do slirp4netns'; bridges have none here.
      const addresses = network === 'bridge' ? [REMOTE.v4] : [REMOTE.v4, REMOTE.v6];
      const said = async (annotations: Readonly<Record<string, string>>) => {
        const container = await startContainer({ network, annotations });
        const output = await container.output(['python3', '-', ...addresses], { stdin: PROBE });
        await container.remove();
        return output;
      };
      const plain = await said({});
      expect(plain).toContain("listen ('in', True)");
      expect(plain).toContain('datagrams echo');
      expect(await said(ENABLED)).toBe(plain);
    });

    // IPv6's takes IPv4, too, with v4-mapped addresses.
    describe.each([4, 6] as const)('vsftpd on a socket of IPv%i', (family) => {
      let server: Container;
      beforeAll(async () => {
        const annotations = publish(PUBLISHED);
        server = await startContainer({ network, annotations, command: vsftpd(family) });
        await eventually('vsftpd', async () =>
          (await host2.sh(`curl -sS ftp://${HOST1.v4}:${PORT}/`)).status === 0 ? true : undefined,
        );
      });
      afterAll(() => server.remove());

      test('serves passive and active clients', async () => {
        await fetches('curl -sS', HOST1.v4);
        await fetches('curl -sS --disable-epsv', HOST1.v4);
        // Without acceleration, too, a bridge is slow there, where it serves such clients at all.
        if (network !== 'bridge') await fetches('curl -sS --ftp-port -', HOST1.v4, 1);
        if (family === 6) await fetches('curl -sS', `[${HOST1.v6}]`);
      });
    });
  });

  describe('of an FTP client that binds its data connection to it', () => {
    beforeAll(() => remote.serve(vsftpd(4), listens(PORT), { root: true }));
    afterAll(() => remote.stopServers());

    test.each(NETWORKS)('lftp on %s', async (network) => {
      const container = await startContainer({ network, annotations: ENABLED });
      const get = `set net:max-retries 1; set net:timeout 5; open ${REMOTE.v4}:${PORT}; cat numbers`;
      // A child that asked the DNS may end while it connects, which interrupts it (docs/compatibility.md).
      const script = 'for i in {1..5}; do lftp -c "$1" | tail -n 1 | grep . && break; done';
      const result = await container.sh(script, [get], { timeout: 30_000 });
      expect(result.stdout, describeResult(['lftp'], result)).toBe('100000\n');
      expect((await container.counters())?.switched).toBeGreaterThan(0);
      await container.remove();
    });
  });
});
