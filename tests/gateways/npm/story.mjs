// A stranger's shop, told with the official npm client, unchanged: it knows Stripe's API and nothing of ours. The sandbox
// it talks to runs as a process of its own; only the address says that it is not api.stripe.com.
//
//   SANDBOX_URL=http://127.0.0.1:12111 node story.mjs      (a sandbox with a fresh database)
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import Stripe from 'stripe';

const sandbox = new URL(process.env.SANDBOX_URL ?? 'http://127.0.0.1:12111');
const address = { protocol: 'http', host: sandbox.hostname, port: Number(sandbox.port), telemetry: false };
const stripe = new Stripe('sk_test_sandbox', { ...address, maxNetworkRetries: 2 });
const impatient = new Stripe('sk_test_sandbox', { ...address, maxNetworkRetries: 0 });
const browser = new Stripe('pk_test_sandbox', { ...address, maxNetworkRetries: 0 });

const deliveries = [];
const shop = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    deliveries.push({ path: request.url, header: request.headers['stripe-signature'], body: Buffer.concat(chunks) });
    response.end('thank you');
  });
});
await new Promise((listening) => shop.listen(0, '127.0.0.1', listening));
const hooks = `http://127.0.0.1:${shop.address().port}`;

const told = {};
const chapters = {
  'hears of everything through endpoints with their own secrets': openEndpoints,
  'keeps a customer and a card': keepCustomer,
  'charges the card off session': charge,
  'takes a decline as an answer': takeDecline,
  'lets the holder pass 3-D Secure': passChallenge,
  'saves a card for later': saveCard,
  'refunds in part, in whole, and too much': refund,
  'sees a refund arrive later': seeRefundArrive,
  'answers a dispute': answerDispute,
  'makes coupons and promotion codes': makeCoupons,
  'repeats itself safely': repeatSafely,
  'pages through everything by itself': pageThrough,
  'searches': search,
  'is told plainly what it did wrong': beTold,
  'survives lost answers': surviveLostAnswers,
  'trusts only what is signed': trustSignatures,
};
try {
  for (const [name, tell] of Object.entries(chapters)) {
    await tell();
    console.log(`ok  ${name}`);
  }
} finally {
  shop.close();
}

async function refused(asking, type, expected) {
  const error = await asking.then(
    () => assert.fail(`${type} expected`),
    (reason) => reason,
  );
  assert.equal(error.type, type, String(error));
  for (const [name, value] of Object.entries(expected)) assert.equal(error[name], value, name);
  return error;
}

async function eventually(look) {
  for (let tries = 0; tries < 200; tries += 1) {
    const found = await look();
    if (found) return found;
    await new Promise((passed) => setTimeout(passed, 100));
  }
  return assert.fail('it never came');
}

async function answerChallenge(intent, outcome) {
  const url = intent.next_action.redirect_to_url?.url ?? intent.next_action.use_stripe_sdk.stripe_js;
  const body = new URLSearchParams({ outcome });
  return fetch(url, { method: 'POST', body, redirect: 'manual' });
}

async function openEndpoints() {
  const all = await stripe.webhookEndpoints.create({
    url: `${hooks}/all`,
    enabled_events: ['*'],
    api_version: Stripe.API_VERSION,
  });
  const some = await stripe.webhookEndpoints.create({ url: `${hooks}/some`, enabled_events: ['refund.created'] });
  assert.match(all.secret, /^whsec_/);
  assert.notEqual(all.secret, some.secret);
  assert.equal((await stripe.webhookEndpoints.retrieve(all.id)).secret, undefined);
  told.secrets = { '/all': all.secret, '/some': some.secret };
}

async function keepCustomer() {
  const customer = await stripe.customers.create({ email: 'mei@example.com', name: 'Mei', metadata: { user: '7' } });
  const card = await stripe.paymentMethods.attach('pm_card_visa', { customer: customer.id });
  const kept = await stripe.customers.update(customer.id, {
    invoice_settings: { default_payment_method: card.id },
    expand: ['invoice_settings.default_payment_method'],
  });
  assert.equal(kept.livemode, false);
  assert.equal(kept.invoice_settings.default_payment_method.card.last4, '4242');
  assert.equal(kept.lastResponse.apiVersion, Stripe.API_VERSION);
  assert.match(kept.lastResponse.requestId, /^req_/);
  Object.assign(told, { customer: customer.id, card: card.id });
}

async function charge() {
  const intent = await stripe.paymentIntents.create({
    amount: 4900,
    currency: 'aed',
    customer: told.customer,
    metadata: { invoice: 'in-1' },
    allowed_payment_method_types: ['card'],
  });
  assert.equal(intent.status, 'requires_payment_method');
  const paid = await stripe.paymentIntents.confirm(intent.id, {
    payment_method: told.card,
    off_session: true,
    expand: ['latest_charge.balance_transaction'],
  });
  assert.equal(paid.status, 'succeeded');
  assert.equal(paid.amount_received, 4900);
  assert.equal(paid.latest_charge.balance_transaction.net, 4900);
  await refused(stripe.paymentIntents.cancel(paid.id), 'StripeInvalidRequestError', {
    statusCode: 400,
    code: 'payment_intent_unexpected_state',
  });
  told.paid = paid.id;
}

async function takeDecline() {
  const asked = { amount: 900, currency: 'usd', payment_method: 'pm_card_chargeDeclined', confirm: true };
  const error = await refused(stripe.paymentIntents.create(asked), 'StripeCardError', {
    statusCode: 402,
    code: 'card_declined',
    decline_code: 'generic_decline',
  });
  assert.equal(error.raw.advice_code, 'try_again_later');
  assert.equal(error.payment_intent.status, 'requires_payment_method');
  assert.equal(error.payment_intent.last_payment_error.decline_code, 'generic_decline');
  const paid = await stripe.paymentIntents.confirm(error.payment_intent.id, { payment_method: 'pm_card_mastercard' });
  assert.equal(paid.status, 'succeeded');
}

async function passChallenge() {
  const card = 'pm_card_threeDSecure2Required';
  const intent = await stripe.paymentIntents.create({ amount: 900, currency: 'usd', payment_method: card });
  const client_secret = intent.client_secret;
  const asked = await browser.paymentIntents.confirm(intent.id, { client_secret, return_url: 'http://shop.test/back' });
  assert.equal(asked.status, 'requires_action');
  const answered = await answerChallenge(asked, 'succeeded');
  const back = new URL(answered.headers.get('location'));
  assert.equal(back.searchParams.get('redirect_status'), 'succeeded');
  const seen = await browser.paymentIntents.retrieve(intent.id, { client_secret });
  assert.equal(seen.status, 'succeeded');
  assert.equal(seen.metadata, undefined);
  await refused(browser.customers.list(), 'StripePermissionError', { statusCode: 403 });
  const again = await stripe.paymentIntents.create({ amount: 900, currency: 'usd', payment_method: card, confirm: true });
  await answerChallenge(again, 'failed');
  const failed = await stripe.paymentIntents.retrieve(again.id);
  assert.equal(failed.last_payment_error.code, 'payment_intent_authentication_failure');
}

async function saveCard() {
  const asked = await stripe.setupIntents.create({
    customer: told.customer,
    payment_method: 'pm_card_authenticationRequiredOnSetup',
    automatic_payment_methods: { enabled: true, allow_redirects: 'never' },
    confirm: true,
  });
  assert.equal(asked.status, 'requires_action');
  assert.equal((await answerChallenge(asked, 'succeeded')).status, 200);
  const saved = await stripe.setupIntents.retrieve(asked.id);
  assert.equal(saved.status, 'succeeded');
  const paid = await stripe.paymentIntents.create({
    amount: 700,
    currency: 'usd',
    customer: told.customer,
    payment_method: saved.payment_method,
    off_session: true,
    confirm: true,
  });
  assert.equal(paid.status, 'succeeded');
  const asked_to_save = { customer: told.customer, payment_method: 'pm_card_chargeDeclinedExpiredCard', confirm: true };
  const error = await refused(stripe.setupIntents.create(asked_to_save), 'StripeCardError', { code: 'expired_card' });
  assert.equal(error.setup_intent.last_setup_error.code, 'expired_card');
}

async function refund() {
  const first = await stripe.refunds.create({ payment_intent: told.paid, amount: 900, reason: 'requested_by_customer' });
  assert.deepEqual([first.status, first.amount], ['succeeded', 900]);
  await refused(stripe.refunds.create({ payment_intent: told.paid, amount: 4001 }), 'StripeInvalidRequestError', {
    statusCode: 400,
    param: 'amount',
  });
  const rest = await stripe.refunds.create({ payment_intent: told.paid, expand: ['charge', 'balance_transaction'] });
  assert.deepEqual([rest.amount, rest.charge.refunded, rest.balance_transaction.amount], [4000, true, -4000]);
  const asked_again = stripe.refunds.create({ payment_intent: told.paid });
  await refused(asked_again, 'StripeInvalidRequestError', { code: 'charge_already_refunded' });
  const listed = await stripe.refunds.list({ payment_intent: told.paid });
  assert.deepEqual(listed.data.map((entry) => entry.id), [rest.id, first.id]);
}

async function seeRefundArrive() {
  const asked = { amount: 900, currency: 'usd', payment_method: 'pm_card_pendingRefund', confirm: true };
  const paid = await stripe.paymentIntents.create(asked);
  const pending = await stripe.refunds.create({ payment_intent: paid.id });
  assert.equal(pending.status, 'pending');
  await eventually(async () => (await stripe.refunds.retrieve(pending.id)).status === 'succeeded');
}

async function answerDispute() {
  const asked = { amount: 900, currency: 'usd', payment_method: 'pm_card_createDispute', confirm: true };
  const paid = await stripe.paymentIntents.create(asked);
  const [dispute] = (await stripe.disputes.list({ payment_intent: paid.id })).data;
  assert.equal(dispute.status, 'needs_response');
  const refunding = stripe.refunds.create({ payment_intent: paid.id });
  await refused(refunding, 'StripeInvalidRequestError', { code: 'charge_disputed' });
  const evidence = { uncategorized_text: 'winning_evidence' };
  assert.equal((await stripe.disputes.update(dispute.id, { evidence })).status, 'under_review');
  const won = await eventually(async () => {
    const found = await stripe.disputes.retrieve(dispute.id);
    return found.status === 'won' && found;
  });
  assert.deepEqual(won.balance_transactions.map((entry) => entry.amount), [-900, 900]);
}

async function makeCoupons() {
  const coupon = await stripe.coupons.create({ id: 'SPRING', percent_off: 25.5, duration: 'once' });
  assert.equal(coupon.percent_off, 25.5);
  const promotion = { type: 'coupon', coupon: coupon.id };
  const code = await stripe.promotionCodes.create({ promotion, code: 'Friends' });
  const twice = stripe.promotionCodes.create({ promotion, code: 'FRIENDS' });
  await refused(twice, 'StripeInvalidRequestError', { code: 'resource_already_exists' });
  const found = await stripe.promotionCodes.list({ code: 'friends', active: true, expand: ['data.promotion.coupon'] });
  assert.deepEqual(found.data.map((entry) => [entry.id, entry.promotion.coupon.id]), [[code.id, 'SPRING']]);
  assert.deepEqual(await stripe.coupons.del('SPRING').then(({ id, deleted }) => [id, deleted]), ['SPRING', true]);
  assert.equal((await stripe.promotionCodes.retrieve(code.id)).active, false);
}

async function repeatSafely() {
  const asked = { amount: 1200, currency: 'usd', payment_method: 'pm_card_visa', confirm: true };
  const first = await stripe.paymentIntents.create(asked, { idempotencyKey: 'order-1' });
  const again = await stripe.paymentIntents.create(asked, { idempotencyKey: 'order-1' });
  assert.equal(again.id, first.id);
  assert.equal(again.lastResponse.headers['idempotent-replayed'], 'true');
  assert.equal(again.lastResponse.headers['original-request'], first.lastResponse.requestId);
  const other = stripe.paymentIntents.create({ ...asked, amount: 1300 }, { idempotencyKey: 'order-1' });
  await refused(other, 'StripeIdempotencyError', { statusCode: 400 });
  await arm({ kind: 'slow', path_contains: '/payment_intents' });
  const create = () => impatient.paymentIntents.create(asked, { idempotencyKey: 'order-2' });
  const both = await Promise.allSettled([create(), create()]);
  const won = both.filter((answer) => answer.status === 'fulfilled').map((answer) => answer.value.status);
  const lost = both.filter((answer) => answer.status === 'rejected').map(({ reason }) => [reason.statusCode, reason.code]);
  assert.deepEqual([won, lost], [['succeeded'], [[409, 'idempotency_key_in_use']]]);
}

async function pageThrough() {
  const made = [];
  for (let count = 0; count < 25; count += 1) made.unshift((await stripe.customers.create({ email: 'p@a.ge' })).id);
  const found = [];
  for await (const customer of stripe.customers.list({ limit: 10, email: 'p@a.ge' })) found.push(customer.id);
  assert.deepEqual(found, made);
  const both = stripe.customers.list({ starting_after: made[0], ending_before: made[1] });
  await refused(both, 'StripeInvalidRequestError', { statusCode: 400 });
  const unknown = stripe.customers.list({ starting_after: 'cus_none' });
  await refused(unknown, 'StripeInvalidRequestError', { code: 'resource_missing', param: 'starting_after' });
}

async function search() {
  const query = `metadata['user']:'7' AND email:'mei@example.com'`;
  const found = await stripe.customers.search({ query }).autoPagingToArray({ limit: 10 });
  assert.deepEqual(found.map((customer) => customer.id), [told.customer]);
  const spec = await stripe.countrySpecs.retrieve('AE');
  assert.equal(spec.default_currency, 'aed');
}

async function beTold() {
  const unknown = stripe.customers.create({ address: { planet: 'Mars' } });
  await refused(unknown, 'StripeInvalidRequestError', { code: 'parameter_unknown', param: 'address[planet]' });
  await refused(stripe.customers.retrieve('cus_none'), 'StripeInvalidRequestError', { statusCode: 404 });
  const small = stripe.paymentIntents.create({ amount: 1, currency: 'usd' });
  await refused(small, 'StripeInvalidRequestError', { code: 'amount_too_small', param: 'amount' });
  const old = stripe.paymentIntents.create({ amount: 900, currency: 'usd', payment_method_types: ['card'] });
  await refused(old, 'StripeInvalidRequestError', { param: 'payment_method_types' });
  const deep = stripe.paymentIntents.retrieve(told.paid, { expand: ['latest_charge.a.b.c.d'] });
  await refused(deep, 'StripeInvalidRequestError', { statusCode: 400 });
  const stranger = new Stripe('sk_test_stranger', address);
  await refused(stranger.customers.list(), 'StripeAuthenticationError', { statusCode: 401 });
  await arm({ kind: 'rate_limit_429' });
  await refused(impatient.customers.list(), 'StripeRateLimitError', { statusCode: 429, code: 'rate_limit' });
}

async function surviveLostAnswers() {
  const asked = { amount: 2500, currency: 'usd', payment_method: 'pm_card_visa', confirm: true };
  for (const kind of ['timeout_after', 'reset_after', 'conflict_409', 'error_500_before']) {
    const before = (await stripe.charges.list({ limit: 1 })).data[0].id;
    await arm({ kind, path_contains: '/payment_intents' });
    const paid = await stripe.paymentIntents.create(asked);
    assert.equal(paid.status, 'succeeded', kind);
    const since = await stripe.charges.list({ ending_before: before });
    assert.deepEqual(since.data.map((entry) => entry.payment_intent), [paid.id], kind);
  }
}

async function trustSignatures() {
  const events = (await stripe.events.list({ limit: 100 }).autoPagingToArray({ limit: 10000 })).reverse();
  const happened = events.map((event) => event.id);
  const arrived = () => deliveries.filter((delivery) => delivery.path === '/all');
  await eventually(() => arrived().length >= happened.length);
  const read = ({ body, header, path }) => stripe.webhooks.constructEvent(body, header, told.secrets[path]);
  assert.deepEqual(arrived().map((delivery) => read(delivery).id).sort(), happened.sort());
  const some = deliveries.filter((delivery) => delivery.path === '/some').map((delivery) => read(delivery).type);
  const refunds = events.filter((event) => event.type === 'refund.created');
  assert.deepEqual(some, refunds.map(() => 'refund.created'));
  const { body, header } = arrived()[0];
  const timestamp = Number(/t=(\d+)/.exec(header)[1]);
  const ours = stripe.webhooks.generateTestHeaderString({
    payload: body.toString(),
    secret: told.secrets['/all'],
    timestamp,
  });
  assert.equal(header, ours);
  assert.throws(() => stripe.webhooks.constructEvent(body, header, told.secrets['/some']), /signature/i);
  assert.throws(() => stripe.webhooks.constructEvent(`${body} `, header, told.secrets['/all']), /signature/i);
}

async function arm(fault) {
  const headers = { Authorization: 'Bearer sk_test_sandbox', 'Content-Type': 'application/json' };
  const armed = await fetch(new URL('/sandbox/faults', sandbox), {
    method: 'POST',
    headers,
    body: JSON.stringify(fault),
  });
  assert.equal(armed.status, 200);
}
