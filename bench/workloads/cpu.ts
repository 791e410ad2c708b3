/**
 * CPU time of the whole machine while a script runs: on user-mode networks most of the work is done outside the container. In
 * the lab that includes the remote machine, which is on the same kernel.
 */
import { PROBE } from '../runner/session.js';

const MARK = 'busy-seconds ';

/** Makes a script print the CPU seconds besides. Warm-up belongs before it. */
export function withCpu(script: string): string {
  return `busy=$(${PROBE} cpu) && {
${script}
} && printf '${MARK}%s\\n' "$(${PROBE} cpu "$busy")"`;
}

/** Takes that line out again. Throws where it is missing. */
export function splitCpu(output: string): { readonly text: string; readonly busySeconds: number } {
  const lines = output.split('\n');
  const mark = lines.find((line) => line.startsWith(MARK));
  const busySeconds = Number(mark?.slice(MARK.length));
  if (mark === undefined || !Number.isFinite(busySeconds)) throw new Error('no CPU time');
  return { text: lines.filter((line) => line !== mark).join('\n'), busySeconds };
}
