// One line of JSON for each test that ended: what the mutation run wants to know of it, and no more.

/** @param {AsyncIterable<{ type: string, data: any }>} events */
export default async function* report(events) {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.skip !== undefined || data.details.type === 'suite') continue;
    const error = data.details.error?.cause ?? data.details.error;
    const line = {
      name: data.name,
      isGreen: type === 'test:pass',
      code: error?.code,
      message: String(error?.message ?? error ?? ''),
    };
    yield `${JSON.stringify(line)}\n`;
  }
}
