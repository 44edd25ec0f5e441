"""How customers put each intent. The wording is the whole difficulty of the task, so it stands here as plain data.

Every intent has phrasings that the base model is `trained` on, `new` ones that turned up later (only the LoRA fine-
tune saw them), and `unseen` ones that no model was trained on. `{item}` and `{feature}` are filled in. `KEYWORDS` are
only for training: they stand in for the knowledge of words that a large model brings along, so that unseen phrasings
are hard but not hopeless.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrasings:
    """One intent's phrasings, by who has seen them."""

    trained: tuple[str, ...]
    new: tuple[str, ...]
    unseen: tuple[str, ...]


PHRASINGS: dict[str, Phrasings] = {
    "refund": Phrasings(
        trained=(
            "i want my money back",
            "please refund {item}",
            "can i get a refund for {item}",
            "you should reimburse me for {item}",
            "i sent {item} back, when do i get the money",
            "give me my money back for {item}",
            "i would like a refund",
            "send my payment back",
            "i demand reimbursement for {item}",
            "i am requesting a refund on {item}",
            "how long does a refund take",
            "{item} broke on day one and i want the money back",
            "my refund has not arrived",
            "i returned {item} but got no refund",
        ),
        new=(
            "i expect to be repaid for {item}",
            "what i paid for {item} should be returned to me",
            "kindly credit me for {item}",
            "the return was accepted but my bank shows nothing",
            "i am not satisfied with {item}, return what i paid",
            "put the amount for {item} back on my card",
        ),
        unseen=(
            "i no longer have {item} and still wait for my cash",
            "when will i see the sum for the returned {item}",
            "pay me back for {item}",
            "make good the price of {item}",
        ),
    ),
    "delivery": Phrasings(
        trained=(
            "where is my package",
            "{item} has not arrived",
            "when will {item} be delivered",
            "the parcel with {item} is late",
            "tracking shows no movement for {item}",
            "the courier lost {item}",
            "delivery of {item} is delayed",
            "has {item} been shipped yet",
            "i am still waiting for the parcel with {item}",
            "what is the delivery date for {item}",
            "the driver did not ring and left with {item}",
            "the package arrived empty",
            "can you track {item} for me",
            "how long does shipping take for {item}",
        ),
        new=(
            "{item} should have been here last week",
            "nobody has brought {item} yet",
            "the tracking number for {item} does not work",
            "{item} seems to be stuck at the depot",
            "the postman says he never had {item}",
            "did {item} leave your warehouse",
        ),
        unseen=(
            "i have been home all day and no one came with {item}",
            "how far away is {item} now",
            "{item} went to my neighbour who denies it",
            "what day does {item} come",
        ),
    ),
    "login": Phrasings(
        trained=(
            "i cannot log in",
            "i forgot my password",
            "reset my password please",
            "my account is locked",
            "the login code never comes",
            "the two factor code does not work",
            "how do i change my password",
            "sign in fails every time",
            "i am locked out of my account",
            "the password reset email is missing",
            "it says my password is wrong",
            "i lost the phone that gets my codes",
            "i cannot sign in on my new phone",
            "the login page sends me in circles",
        ),
        new=(
            "i can no longer get into my account",
            "your site does not accept my credentials",
            "the text message with the digits never reaches me",
            "i do not remember my user name",
            "the reset link has expired",
            "i am thrown out right after signing in",
        ),
        unseen=(
            "how can i get access again",
            "my secret word is refused",
            "the authenticator app was deleted with my old phone",
            "i need to recover my profile",
        ),
    ),
    "billing": Phrasings(
        trained=(
            "why was i billed twice",
            "my invoice is wrong",
            "there is a double charge on my card",
            "update my credit card",
            "the invoice shows the wrong amount",
            "i need a copy of my invoice",
            "my card was declined",
            "the vat on the bill is wrong",
            "explain this charge on my statement",
            "the billing address is wrong on the invoice",
            "you charged me too much for {item}",
            "can i pay by bank transfer",
            "i do not recognise this payment",
            "please send the receipt for {item}",
        ),
        new=(
            "an amount was debited that i cannot explain",
            "our accounting needs a proper bill for {item}",
            "which payment methods do you take",
            "the price on the receipt differs from the shop",
            "you took the fee two times",
            "my new card must be put on file",
        ),
        unseen=(
            "the tax number is missing on the document",
            "what is this position on my bank statement",
            "the discount was not applied to the total",
            "can we get one invoice for the whole year",
        ),
    ),
    "bug": Phrasings(
        trained=(
            "the app crashes when i open {feature}",
            "i get an error message in {feature}",
            "{feature} is a blank page",
            "{feature} stopped working after the update",
            "the button in {feature} does nothing",
            "the screen freezes in {feature}",
            "{feature} fails with error 500",
            "the app is very slow and hangs in {feature}",
            "{feature} shows a stack trace",
            "sync is broken in {feature}",
            "{feature} does not load",
            "{feature} loses my changes",
            "i found a bug in {feature}",
            "nothing happens when i click on {feature}",
        ),
        new=(
            "since yesterday {feature} behaves strangely",
            "{feature} gives wrong numbers",
            "i only see a spinning wheel in {feature}",
            "{feature} quits without warning",
            "after saving, {feature} is empty",
            "{feature} looks garbled in my browser",
        ),
        unseen=(
            "{feature} is not usable on a tablet",
            "my entries in {feature} vanish",
            "{feature} has been spinning for an hour",
            "the text in {feature} overlaps",
        ),
    ),
    "cancel": Phrasings(
        trained=(
            "cancel my subscription",
            "i want to close my account",
            "stop my plan at the end of the month",
            "please end my membership",
            "do not renew my plan",
            "how do i unsubscribe from the plan",
            "terminate the contract",
            "i want to leave your service",
            "turn off auto renewal",
            "i do not need the subscription any more",
            "cancel my plan before it renews",
            "we are ending our contract with you",
            "please cancel everything",
            "i want to stop paying for the plan",
        ),
        new=(
            "this is my notice of termination",
            "we have decided not to continue",
            "i will not extend after this term",
            "how can i quit",
            "we are switching to another provider",
            "the trial should not turn into a paid plan",
        ),
        unseen=(
            "let my subscription run out",
            "i am done with your product",
            "what is the notice period",
            "please confirm that the contract is over",
        ),
    ),
    "upgrade": Phrasings(
        trained=(
            "i want to move to the pro plan",
            "how do i upgrade",
            "can i add more seats",
            "what is in the enterprise plan",
            "i need a bigger plan",
            "switch me to the annual plan",
            "add five users to our plan",
            "is there a discount for the pro plan",
            "i want more storage",
            "change my plan to premium",
            "what does the pro plan cost",
            "we need ten more licences",
            "can i try the premium plan",
            "does the enterprise plan include {feature}",
        ),
        new=(
            "our team is growing and needs more accounts",
            "which tier includes {feature}",
            "we have reached the limit of the free version",
            "i would pay more for {feature}",
            "please quote for twenty people",
            "what do i gain with the larger package",
        ),
        unseen=(
            "unlock {feature} for us",
            "we want the next level up",
            "can we have room for more colleagues",
            "how much would a higher quota be",
        ),
    ),
    "order": Phrasings(
        trained=(
            "i ordered the wrong size of {item}",
            "change the address on my order",
            "can i add {item} to my order",
            "please remove {item} from my order",
            "i want another colour of {item}",
            "exchange {item} for a bigger one",
            "i clicked twice and ordered {item} two times",
            "can i change my order",
            "send {item} to my office instead",
            "i picked the wrong product, i meant {item}",
            "please hold my order until monday",
            "swap {item} for the newer model",
            "i need two of {item} instead of one",
            "my order has the wrong name on it",
        ),
        new=(
            "could {item} go to a different street",
            "make that three of {item}",
            "i would rather have {item} in black",
            "there is a mistake in what i bought, i meant {item}",
            "can you combine my two orders",
            "{item} does not fit, i need one size up",
        ),
        unseen=(
            "leave {item} out of the box please",
            "i moved, so bring {item} to my new flat",
            "is it too late to choose another model of {item}",
            "put a gift note in with {item}",
        ),
    ),
    "privacy": Phrasings(
        trained=(
            "delete all my data",
            "what data do you store about me",
            "send me a copy of my personal data",
            "i withdraw my consent",
            "stop sending me marketing emails",
            "take me off your mailing list",
            "who can see my data",
            "do you share my data with others",
            "i want my personal details removed",
            "my data was leaked",
            "this is a request under the data protection law",
            "where is my data stored",
            "please erase my profile and history",
            "i never agreed to these emails",
        ),
        new=(
            "which information about me do you keep",
            "do not contact me for advertising",
            "how long do you retain my records",
            "i wish to be forgotten",
            "someone else can read my messages",
            "do you sell what you know about me",
        ),
        unseen=(
            "no more newsletters",
            "is my information encrypted",
            "export everything you have on file about me",
            "why do your partners write to me",
        ),
    ),
    "praise": Phrasings(
        trained=(
            "great service thank you",
            "i love {item}",
            "your team was very helpful",
            "just wanted to say thanks",
            "best support ever",
            "{feature} works wonderfully",
            "i am very happy with {item}",
            "five stars from me",
            "amazing experience with {feature}",
            "thank you for the quick help",
            "{item} is even better than i hoped",
            "well done on the new {feature}",
            "i will tell all my friends about you",
            "you solved my problem in minutes",
        ),
        new=(
            "i am impressed by {feature}",
            "hats off to your colleagues",
            "it was a pleasure to deal with you",
            "my compliments for {item}",
            "{feature} saves me hours",
            "what a lovely surprise {item} was",
        ),
        unseen=(
            "keep it up",
            "could not be more pleased",
            "{item} made my day",
            "i rarely see such good work",
        ),
    ),
}

KEYWORDS: dict[str, tuple[str, ...]] = {
    "refund": (
        "repaid", "not satisfied", "the amount i paid", "my cash", "back on my card", "the sum", "reimburse",
        "money returned", "return what i paid",
    ),
    "delivery": (
        "should have been here", "the tracking number", "the depot", "no one came", "how far away", "the courier",
        "stuck on the way", "the driver", "bring {item}",
    ),
    "login": (
        "my credentials", "my user name", "the reset link", "get access", "the authenticator", "signing in",
        "the code has expired", "my old phone", "recover my account",
    ),
    "billing": (
        "an amount was debited", "payment methods", "a proper bill", "the tax number", "my bank statement",
        "the receipt", "the fee", "the total", "which price",
    ),
    "bug": (
        "behaves strangely", "wrong numbers", "a spinning wheel", "not usable", "entries vanish", "a warning",
        "broken {feature}", "my browser", "since yesterday",
    ),
    "cancel": (
        "my notice", "termination", "not to continue", "run out", "the notice period", "another provider",
        "a paid plan", "we are leaving", "let it end",
    ),
    "upgrade": (
        "our team is growing", "which tier", "the limit of the free version", "the next level", "more colleagues",
        "more accounts", "pay more", "what do we gain", "twenty people",
    ),
    "order": (
        "a different street", "a mistake in what i bought", "in black", "my new flat", "leave it out of the box",
        "one size up", "another model", "three of {item}", "i moved",
    ),
    "privacy": (
        "information about me", "advertising", "be forgotten", "newsletters", "my information", "read my messages",
        "what you have on me", "your partners", "a copy for me",
    ),
    "praise": (
        "impressed", "hats off", "my compliments", "made my day", "pleased", "your colleagues", "a delight",
        "wonderful people", "so kind",
    ),
}  # fmt: skip
