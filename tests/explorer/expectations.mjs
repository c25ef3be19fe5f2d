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
const codes = (payload) => payload.userErrors.map(({ code }) => code);
const amounts = (lines) => lines.map((line) => compact(line.amount));
const MONTH_ENDS = ['02-28', '03-31', '04-30', '05-31', '06-30', '07-31', '08-31', '09-30', '10-31', '11-30', '12-31'];
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
      'basic-monthly': null,
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
  MakeCoupon: [
    ({ createCoupon, createPromotionCode }) => [
      createCoupon.coupon,
      createPromotionCode.promotionCode,
      codes(createCoupon),
      codes(createPromotionCode),
    ],
    [
      { code: 'a-quarter-off', percentOff: '25', duration: 'REPEATING', durationInPeriods: 3 },
      { code: 'HELLO', isActive: true },
      [],
      [],
    ],
  ],
  PreviewCoffee: [
    ({ previewSubscribe: { preview, userErrors } }) => [
      compact(preview.dueNow),
      amounts(preview.lines),
      amounts(preview.schedule.slice(0, 3)),
      userErrors,
    ],
    ['AED36.75', ['AED49.00', '-AED12.25'], ['AED36.75', 'AED36.75', 'AED49.00'], []],
  ],
  SubscribeAsQuoted: [
    ({ subscribe: { subscription, payment, userErrors } }) => [
      subscription.status,
      compact(subscription.amount),
      subscription.discounts,
      payment.status,
      compact(payment.amount),
      userErrors,
    ],
    ['ACTIVE', 'AED36.75', [{ percentOff: '25', periodsLeft: 2 }], 'SUCCEEDED', 'AED36.75', []],
  ],
  // The month is as good as unused: within the first minutes its credit rounds to all of it.
  PreviewYear: [
    ({ previewChangePlan: { preview, userErrors } }) => [
      compact(preview.dueNow),
      preview.lines.map((line) => [compact(line.amount), line.isProration]),
      compact(preview.dueNext),
      userErrors,
    ],
    [
      'AED330.75',
      [
        ['-AED36.75', true],
        ['AED490.00', false],
        ['-AED122.50', false],
      ],
      'AED367.50',
      [],
    ],
  ],
  ChangeToYear: [
    ({ changePlan: { subscription, invoice, payment, userErrors } }) => [
      subscription.status,
      subscription.plan.code,
      invoice.status,
      compact(invoice.total),
      payment.status,
      compact(payment.amount),
      userErrors,
    ],
    ['ACTIVE', 'classic-coffee-yearly', 'PAID', 'AED330.75', 'SUCCEEDED', 'AED330.75', []],
  ],
  Pause: [
    ({ pauseSubscription: { subscription, userErrors } }) => [
      subscription.status,
      subscription.isActive,
      subscription.nextBillingAt,
      userErrors,
    ],
    ['PAUSED', false, null, []],
  ],
  Resume: [
    ({ resumeSubscription: { subscription, userErrors } }) => [subscription.status, subscription.isActive, userErrors],
    ['ACTIVE', true, []],
  ],
  GiveBack: [
    ({ refundPayment: { refund, payment, subscription, userErrors } }) => [
      refund.status,
      compact(refund.amount),
      payment.status,
      compact(payment.amountRefunded),
      subscription.status,
      userErrors,
    ],
    ['SUCCEEDED', 'AED50.00', 'PARTIALLY_REFUNDED', 'AED50.00', 'ACTIVE', []],
  ],
  SellCups: [({ createPlan }) => [createPlan.plan.code, createPlan.userErrors], ['a-cup-a-day', []]],
  MakeClock: [
    ({ createTestClock: { testClock, userErrors } }) => [testClock.now, testClock.status, userErrors],
    ['2027-01-31T09:00:00Z', 'READY', []],
  ],
  PutOnClock: [
    ({ createCustomer }) => [createCustomer.customer.testClock.now, createCustomer.userErrors],
    ['2027-01-31T09:00:00Z', []],
  ],
  GiveCard: [
    ({ attachPaymentMethod }) => [attachPaymentMethod.paymentMethod.card, attachPaymentMethod.userErrors],
    [{ brand: 'visa', last4: '4242' }, []],
  ],
  SubscribeThem: [
    ({ subscribe: { subscription, userErrors } }) => [subscription.status, subscription.currentPeriod, userErrors],
    ['ACTIVE', { start: '2027-01-31T09:00:00Z', end: '2027-02-28T09:00:00Z' }, []],
  ],
  MoveClock: [
    ({ advanceTestClock: { testClock, userErrors } }) => [
      testClock.now,
      testClock.status,
      testClock.runs.nodes
        .map(({ asOf, renewed, charged, totals }) => [asOf.slice(0, 10), renewed, charged, totals[0].formatted])
        .toReversed(), // the newest comes first
      userErrors,
    ],
    [
      '2028-01-31T09:00:00Z',
      'READY',
      [...MONTH_ENDS.map((day) => `2027-${day}`), '2028-01-31'].map((day) => [day, 1, 1, '$12.00']),
      [],
    ],
  ],
  SeeYear: [
    ({ subscription: { status, totalPaid, creditBalances, upcomingInvoices } }) => [
      status,
      totalPaid.formatted,
      creditBalances,
      upcomingInvoices.map(({ at, amountDue }) => [at, amountDue.formatted]),
    ],
    [
      'ACTIVE',
      '$156.00',
      [{ unit: 'cup', dailyAllowance: 1, remaining: 29, remainingToday: 1, expiresAt: null }],
      [
        ['2028-02-29T09:00:00Z', '$12.00'],
        ['2028-03-31T08:00:00Z', '$12.00'],
        ['2028-04-30T08:00:00Z', '$12.00'],
      ],
    ],
  ],
  GrantCups: [
    ({ grantCredits: { creditBalance, userErrors } }) => [
      creditBalance.remaining,
      creditBalance.entries.nodes.map(({ kind, quantity, balanceAfter }) => [kind, quantity, balanceAfter]),
      userErrors,
    ],
    [
      34,
      [
        ['GRANT', 5, 34],
        ['GRANT', 29, 29],
        ['EXPIRE', -31, 0],
      ],
      [],
    ],
  ],
};
