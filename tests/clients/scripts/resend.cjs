// Mails with resend-node as its documentation shows it: it never throws, but returns { data, error }.
const { Resend } = require('resend');
const resend = new Resend(process.env.RESEND_API_KEY);
const mail = (to) => resend.emails.send({ from: 'agent@example.com', to, subject: 'Hi', text: 'x' });
(async () => {
  const { data, error } = await mail('a@example.com');
  console.log(data ? 'sent' : JSON.stringify(error));
  const refused = await mail([1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => `a${n}@example.com`));
  console.log(JSON.stringify({ type: refused.error.name, status: refused.error.statusCode, code: refused.error.code, message: refused.error.message }));
})();
