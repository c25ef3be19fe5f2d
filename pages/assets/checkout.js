// Stripe's own fields for the card: it goes to Stripe and never to this server.
const form = document.getElementById("card");
const told = document.getElementById("told");
const button = form.querySelector("button");
const stripe = Stripe(form.dataset.publishableKey);
const elements = stripe.elements({ clientSecret: form.dataset.clientSecret });
const fields = elements.create("payment");
fields.on("ready", () => { button.disabled = false; });
fields.mount("#fields");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  told.hidden = true;
  const wish = { elements, confirmParams: { return_url: form.dataset.returnUrl } };
  const { error } = form.dataset.act === "save" ? await stripe.confirmSetup(wish) : await stripe.confirmPayment(wish);
  told.textContent = error.message ?? "That did not work. Try again.";
  told.hidden = false;
  button.disabled = false;
});
