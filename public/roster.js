// The customers as one client knows them: a snapshot, and every change that this client has heard of. Two
// clients of one server hold the same, unless one of them has missed something.

/**
 * A change of a customer; undefined if the event is anything else. Anyone may publish events, with any data:
 * only the API's own source and shape are believed, or one odd event would spoil the table of everyone.
 * @param {ChangeEvent} event
 * @returns {{ id: number, customer: Customer | undefined } | undefined} `customer` is undefined once deleted
 */
export function customerChange({ type, source, data }) {
  if (!/^customer\.(created|updated|deleted)$/.test(type) || !isCustomer(data)) return undefined;
  if (source !== `/api/customers/${data.id}`) return undefined;
  return { id: data.id, customer: type === 'customer.deleted' ? undefined : data };
}

/** @param {any} data @returns {data is Customer} */
function isCustomer(data) {
  const isText = typeof data?.name === 'string' && (data.email === null || typeof data.email === 'string');
  return isText && Number.isSafeInteger(data.id) && data.id > 0;
}

export class Roster {
  rows = /** @type {Map<number, Customer>} */ (new Map());

  /** @param {ChangeEvent} event @returns {boolean} was it a change of a customer? */
  apply(event) {
    const change = customerChange(event);
    if (change?.customer) this.rows.set(change.id, change.customer);
    else if (change) this.rows.delete(change.id);
    return change !== undefined;
  }

  /** The newest ids, which are the highest. @param {number} limit */
  newest(limit) {
    return [...this.rows.keys()].sort((a, b) => b - a).slice(0, limit);
  }
}
