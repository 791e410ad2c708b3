/** Several measurements in one script, whose outputs are told apart by a line between them. */
const NEXT = '-- next --';

export function steps(...scripts: readonly string[]): string {
  return scripts.join(`\necho '${NEXT}'\n`);
}

/** Waits until a command that asks a published port succeeds. */
export function answered(command: string): string {
  return `
      i=0
      until ${command}; do
        i=$((i + 1))
        [ $i -lt 50 ] || { echo 'the published port does not answer' >&2; exit 1; }
        sleep 0.1
      done`;
}

export function outputs(output: string): string[] {
  return output.split(`${NEXT}\n`);
}
