// What each operation of the shelf answers when the story is told in order on a fresh database: a projection of its data
// and the exact value of that projection.
const compact = ({ formatted }) => formatted.replaceAll(/\s/g, ''); // the gap after a currency's code is the locale's matter
const subscribed = ({ subscribe: { subscription, payment, paymentIntent, nextAction, userErrors } }) => [
  subscription.status,
  subscription.isActive,
  payment.status,
  compact(payment.amount),
  paymentIntent.status,
  nextAction.type,
  userErrors,
];
const confirmed = ({ sandboxConfirmPaymentIntent: { paymentIntent, userErrors } }) => [
  paymentIntent.status,
  paymentIntent.lastError?.code ?? null,
  paymentIntent.nextAction?.type ?? null,
  userErrors.map(({ code }) => code),
];
const refreshed = ({ refreshSubscriptionPayment: { success, subscription, payment, userErrors } }) => [
  success,
  subscription.status,
  subscription.isActive,
  payment.status,
  userErrors,
];
const answered = ({ sandboxAnswerChallenge: { paymentIntent, userErrors } }) => [
  paymentIntent.status,
  userErrors.map(({ code }) => code),
];
const canceled = ({ cancelSubscription: { subscription, userErrors } }) => [
  subscription.status,
  subscription.isActive,
  subscription.cancelAtPeriodEnd,
  userErrors,
];
const awaiting = (amount) => ['INCOMPLETE', false, 'REQUIRES_PAYMENT_METHOD', amount, 'REQUIRES_PAYMENT_METHOD', 'CONFIRM_WITH_SDK', []];
const paid = [true, 'ACTIVE', true, 'SUCCEEDED', []];

export const EXPECTED = {
  SeePlans: [
    ({ plans }) => Object.fromEntries(plans.nodes.map((plan) => [plan.code, plan.price?.amount.amountMinor ?? null])),
    {
      free: 0,
      'reader-pro': 700,
      'premium-monthly': 999,
      'premium-yearly': 9900,
      'basic-streaming': null,
      'classic-coffee-monthly': null,
      'classic-coffee-yearly': null,
      'specialty-coffee-monthly': null,
      'specialty-coffee-yearly': null,
    },
  ],
  WhoAmI: [({ viewer }) => [viewer.role, viewer.user.id], ['CUSTOMER', 'demo-new']],
  SaveCard: [
    ({ createSetupIntent }) => [createSetupIntent.setupIntent.status, createSetupIntent.userErrors],
    ['REQUIRES_PAYMENT_METHOD', []],
  ],
  ConfirmCard: [
    ({ sandboxConfirmSetupIntent }) => [sandboxConfirmSetupIntent.setupIntent.status, sandboxConfirmSetupIntent.userErrors],
    ['SUCCEEDED', []],
  ],
  MyCards: [
    ({ paymentMethods }) => paymentMethods.nodes.map(({ isDefault, card }) => [isDefault, card]),
    [[true, { brand: 'visa', last4: '4242', expMonth: 12, expYear: 2034 }]],
  ],
  SubscribeWithSavedCard: [subscribed, ['ACTIVE', true, 'SUCCEEDED', '$7.00', 'SUCCEEDED', 'NONE', []]],
  SubscribeWithNewCard: [subscribed, awaiting('$9.99')],
  ConfirmPayment: [confirmed, ['SUCCEEDED', null, null, []]],
  RefreshPayment: [refreshed, paid],
  BuyCoffee: [subscribed, awaiting('AED49.00')],
  Decline: [confirmed, ['REQUIRES_PAYMENT_METHOD', 'card_declined', 'CONFIRM_WITH_SDK', ['CARD_DECLINED']]],
  Recover: [confirmed, ['SUCCEEDED', null, null, []]],
  SeeRecovery: [refreshed, paid],
  BuySpecialtyCoffee: [subscribed, awaiting('AED79.00')],
  MeetChallenge: [confirmed, ['REQUIRES_ACTION', null, 'REDIRECT', []]],
  FailChallenge: [answered, ['REQUIRES_PAYMENT_METHOD', ['CARD_DECLINED']]],
  MeetChallengeAgain: [confirmed, ['REQUIRES_ACTION', null, 'REDIRECT', []]],
  PassChallenge: [answered, ['SUCCEEDED', []]],
  SeeSpecialtyCoffee: [refreshed, paid],
  MySubscription: [
    ({ mySubscription: { status, plan, invoices, statusHistory } }) => [
      status,
      plan.code,
      invoices.nodes.map((invoice) => [invoice.status, compact(invoice.total), invoice.lines.map((line) => compact(line.amount))]),
      statusHistory.map(({ to }) => to),
    ],
    ['ACTIVE', 'specialty-coffee-monthly', [['PAID', 'AED79.00', ['AED79.00']]], ['INCOMPLETE', 'ACTIVE']],
  ],
  CancelAtPeriodEnd: [canceled, ['ACTIVE', true, true, []]],
  CancelNow: [canceled, ['CANCELED', false, true, []]],
};
