/** The daemon that runs, if one does. */
import { ControlClient, NoDaemonError } from '../api/client.js';
import { messageOf } from '../base/errors.js';
import type { RuntimePaths } from '../base/paths.js';
import { version } from '../base/version.js';
import { type Finding, note, ok, problem, warning } from './finding.js';

const SHORT_ID = 12;
/** Of one container; "sockswitch ps --no-trunc" has them all. */
const TUNNEL_REASONS = 3;

export async function checkDaemon(runtime: RuntimePaths): Promise<Finding[]> {
  try {
    const client = new ControlClient(runtime.controlSocket);
    const status = await client.status();
    const { containers } = await client.containers();
    return [
      status.version === version()
        ? ok('daemon', `the daemon runs (pid ${status.pid}, version ${status.version})`)
        : warning(
            'daemon',
            `the daemon is of version ${status.version}, this command of ${version()}`,
            'restart the daemon: containers and connections stay',
          ),
      status.keeper.connected
        ? ok('keeper', 'the keeper is connected')
        : problem('keeper', 'the keeper is not connected', 'see the daemon’s log'),
      ...(status.unaccelerated === undefined
        ? []
        : [
            problem(
              'daemon.guard',
              'the daemon accelerates nothing: it could guard no sockets when it started',
              'restart it once sockets can be guarded: containers and connections stay',
            ),
          ]),
      ...containers.flatMap(({ id, tunnels }) =>
        (tunnels?.reasons ?? [])
          .slice(0, TUNNEL_REASONS)
          .map((reason) =>
            note(
              'container.tunnels',
              `a tunnel of container ${id.slice(0, SHORT_ID)} is on the fallback network: ${reason}`,
            ),
          ),
      ),
      ...containers.flatMap(({ id, obstacle }) =>
        obstacle === undefined
          ? []
          : [
              note(
                'container.network',
                `container ${id.slice(0, SHORT_ID)} asks for acceleration and gets none: ${obstacle}`,
              ),
            ],
      ),
    ];
  } catch (error) {
    const remedy =
      error instanceof NoDaemonError
        ? 'start it with "systemctl --user start sockswitch" or "sockswitch daemon"'
        : 'restart it, and see its log';
    return [problem('daemon', messageOf(error).split(':')[0] ?? 'no daemon', remedy)];
  }
}
