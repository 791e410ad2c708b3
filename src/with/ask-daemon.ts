/** Whether containers that start now would be accelerated, asked of the daemon without the libraries of other verbs. */
import { request } from 'node:http';

const TIMEOUT_MS = 2_000;

/** Why they would not be; undefined where they would. */
export async function obstacle(controlSocket: string): Promise<string | undefined> {
  let body: string;
  try {
    body = await get(controlSocket, '/v1/status');
  } catch {
    return 'no daemon is running (start it with "systemctl --user start sockswitch" or "sockswitch daemon")';
  }
  try {
    const status = JSON.parse(body) as { readonly unaccelerated?: unknown };
    return typeof status.unaccelerated === 'string' ? status.unaccelerated : undefined;
  } catch {
    return 'what answers at the socket of the daemon is none';
  }
}

function get(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, timeout: TIMEOUT_MS, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve(text));
      response.on('error', reject);
    });
    asked.on('timeout', () => asked.destroy(new Error('timed out')));
    asked.on('error', reject);
    asked.end();
  });
}
